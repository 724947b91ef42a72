package policy

import (
	"bytes"
	"strings"

	"sendguard/policy/mail"
)

// showRecipientAlone takes every address out of the fields that show them, in the message's
// header and in its copies, and makes room for a To field in each. It returns
// the edits, and the kinds of the message's fields that they change.
func (d *decision) showRecipientAlone() (e edits, changed [mail.Kinds]bool) {
	e = make(edits, len(d.headers))
	for n := range d.headers {
		h := &d.headers[n]
		if h.Frozen {
			continue
		}
		to := -1 // the cut whose place the To field takes: that of To, or the first
		for f := range d.concealable(h) {
			changed[f.Kind] = changed[f.Kind] || n == 0
			if to < 0 || f.Kind == mail.To && !isKind(&h.Header, e[n][to], mail.To) {
				to = len(e[n])
			}
			e[n] = append(e[n], cut{start: f.Start, end: f.End})
		}
		if c, ok := withoutReplyName(h); ok {
			changed[mail.ReplyTo] = changed[mail.ReplyTo] || n == 0
			if to < 0 { // no other field goes: To stands before it
				line := bytes.LastIndexByte(h.Raw[:c.start], '\n') + 1
				to, e[n] = 0, []cut{{start: line, end: line}}
			}
			e[n] = append(e[n], c)
		}
		if to >= 0 {
			changed[mail.To] = changed[mail.To] || n == 0
			e[n][to].toField = true
			e[n] = inOrder(e[n])
		}
	}
	return e, changed
}

// isKind reports whether a cut is that of a field of a kind.
func isKind(h *mail.Header, c cut, kind mail.Kind) bool {
	name, _, _ := bytes.Cut(h.Raw[c.start:c.end], []byte(":"))
	return mail.KindOf(bytes.TrimRight(name, " \t")) == kind
}

// A copier writes the copies of a message, one for each recipient.
type copier struct {
	header, body template
	mailboxes    map[string][]byte // by address as it is compared: as the message has it
}

// copier makes ready to write copies. rest is what follows the start of the body.
func (d *decision) copier(rest []byte) *copier {
	inHeader, inBody := d.split(d.edits)
	c := &copier{newTemplate(d.outer.Raw, inHeader), newTemplate(d.start, inBody), d.mailboxes()}
	c.body[len(c.body)-1] = append(c.body[len(c.body)-1], rest...)
	return c
}

// mailboxes finds the recipients in the fields that show addresses: as they are
// written there, but for those that name another address too.
func (d *decision) mailboxes() map[string][]byte {
	recipients := mail.NewAddressSet()
	for _, r := range d.envelope.Recipients {
		recipients.AddPath(r)
	}
	found := map[string][]byte{}
	for _, f := range d.outer.Fields {
		if !concealed[f.Kind] {
			continue
		}
		for item := range splitList(d.outer.Value(f)) {
			item = bytes.TrimSpace(withoutGroupName(item))
			addresses := mail.DistinctAddresses(item)
			if addresses.Len() != 1 || !recipients.Has(addresses.Key(0)) || !isMailbox(item) {
				continue
			}
			if key := string(addresses.Key(0)); found[key] == nil {
				found[key] = bytes.Clone(item) // the header may be gone when copies are made
			}
		}
	}
	return found
}

// SameRecipient is what two forward-paths of one mailbox have in common: local
// parts may differ in letter case (RFC 5321 section 2.4), not in their quoting
// alone (section 4.1.2); domains do not differ in letter case.
func SameRecipient(path string) string {
	at := strings.LastIndexByte(path, '@')
	if at < 0 {
		return strings.ToLower(path)
	}
	return string(mail.Unquoted([]byte(path[:at]))) + strings.ToLower(path[at:])
}

// HasCopies reports whether each recipient is to get a copy of their own.
func (v *Verdict) HasCopies() bool { return v.copies != nil && v.Header == nil }

// CopyFor returns the copy of a message that HasCopies for one recipient, a
// forward-path of the envelope without angle brackets: its header
// and what of its body was fed before the verdict. It shows that recipient alone.
// What the message was judged by need not be there any more.
func (v *Verdict) CopyFor(recipient string) (header, body []byte) {
	set := mail.NewAddressSet()
	set.AddPath(recipient)
	mailbox := []byte(mail.WithoutRoute(recipient))
	if set.Len() == 1 {
		if written := v.copies.mailboxes[string(set.Key(0))]; written != nil {
			mailbox = written
		}
	}
	to := append(append([]byte("To: "), mailbox...), mail.CRLF...)
	return bytes.Join(v.copies.header, to), bytes.Join(v.copies.body, to)
}
