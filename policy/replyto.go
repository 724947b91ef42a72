package policy

import (
	"bytes"
	"slices"

	"sendguard/policy/mail"
)

// withoutReplyName takes the name off a Reply-To that is one mailbox, where the
// name or a comment holds another address: that must go, and without the mailbox
// answers would go astray.
func withoutReplyName(h *mail.ShownHeader) (c cut, ok bool) {
	values := h.Values(mail.ReplyTo)
	if len(values) != 1 || mail.DistinctAddresses(values...).Len() < 2 {
		return cut{}, false
	}
	var mailbox []byte
	for item := range splitList(values[0]) {
		if mailbox != nil || !isMailbox(item) {
			return cut{}, false
		}
		mailbox = addrSpec(item)
	}
	if mail.DistinctAddresses(mailbox).Len() != 1 {
		return cut{}, false
	}
	n := slices.IndexFunc(h.Fields, func(f mail.Field) bool { return f.Kind == mail.ReplyTo })
	f := h.Fields[n]
	return cut{start: f.Value, end: f.End, with: fieldBody([][]byte{mailbox})}, true
}

// addrSpec returns the address of one mailbox (RFC 5322 section 3.4): what its
// angle brackets hold, or where it has none, what is no comment.
func addrSpec(mailbox []byte) []byte {
	bare := make([]byte, 0, len(mailbox))
	for i := 0; i < len(mailbox); i++ {
		switch c := mailbox[i]; c {
		case '<':
			end := i + bytes.IndexByte(mailbox[i:], '>') + 1
			if inner := bytes.TrimSpace(mailbox[i+1 : end-1]); isPlainAddress(inner) {
				return inner
			}
			return mailbox[i:end]
		case '"', '(':
			end, _ := mail.Closing(mailbox, i)
			if c == '"' {
				bare = append(bare, mailbox[i:end]...)
			}
			i = end - 1
		default:
			bare = append(bare, c)
		}
	}
	return bytes.TrimSpace(bare)
}
