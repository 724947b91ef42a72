package policy

import (
	"bytes"
)

// single takes every address out of the fields that show them, in the message's
// header and in its copies, and makes room for a To field in each. It returns
// the edits, and the kinds of the message's fields that they change.
func (d *decision) single() (e edits, changed [kindCount]bool) {
	e = make(edits, len(d.headers))
	for n := range d.headers {
		h := &d.headers[n]
		if h.fixed {
			continue
		}
		to := -1 // the cut whose place the To field takes: that of To, or the first
		for f := range d.concealable(h) {
			changed[f.kind] = changed[f.kind] || n == 0
			if to < 0 || f.kind == kindTo && !isKind(&h.header, e[n][to], kindTo) {
				to = len(e[n])
			}
			e[n] = append(e[n], cut{start: f.start, end: f.end})
		}
		if to >= 0 {
			changed[kindTo] = changed[kindTo] || n == 0
			e[n][to].toField = true
		}
	}
	return e, changed
}

// isKind reports whether a cut is that of a field of a kind.
func isKind(h *header, c cut, kind fieldKind) bool {
	name, _, _ := bytes.Cut(h.raw[c.start:c.end], []byte(":"))
	return kindOf(bytes.TrimRight(name, " \t")) == kind
}

// A copier writes the copies of a message, one for each recipient.
type copier struct {
	header, body template
	mailboxes    map[string][]byte // by address as it is compared: as the message has it

	signedSubject bool // it must stay as it is
}

// copier makes ready to write copies after edits.
func (d *decision) copier(e edits) *copier {
	inHeader, inBody := d.split(e)
	return &copier{newTemplate(d.message.Header, inHeader), newTemplate(d.message.Body, inBody), d.mailboxes(), d.signed[kindSubject]}
}

// mailboxes finds the recipients in the fields that show addresses: as they are
// written there, but for those that name another address too.
func (d *decision) mailboxes() map[string][]byte {
	recipients := newAddressSet()
	for _, r := range d.message.Recipients {
		recipients.addPath(r)
	}
	found := map[string][]byte{}
	for _, f := range d.outer.fields {
		if !concealed[f.kind] {
			continue
		}
		for item := range splitList(d.outer.body(f)) {
			item = bytes.TrimSpace(withoutGroupName(item))
			addresses := distinctAddresses(item)
			if addresses.len() != 1 || !recipients.has(addresses.key(0)) || !isMailbox(item) {
				continue
			}
			if key := string(addresses.key(0)); found[key] == nil {
				found[key] = bytes.Clone(item) // the header may be gone when copies are made
			}
		}
	}
	return found
}

// withoutGroupName returns an item of a list without the name of a group that
// begins with it (RFC 5322 section 3.4).
func withoutGroupName(item []byte) []byte {
	for i := 0; i < len(item); i++ {
		switch item[i] {
		case '"', '(':
			end, ok := closing(item, i)
			if !ok {
				return item
			}
			i = end - 1
		case '<', '@':
			return item
		case ':':
			return item[i+1:]
		}
	}
	return item
}

// overrides is that of a Verdict, for all copies.
func (c *copier) overrides(n int) (found bool, wrong int) {
	wrong = -1
	for i, piece := range c.header {
		h := parseHeader(piece) // whole fields
		here, other, cuts := findTag(&h, n)
		found = found || here
		if here && !c.signedSubject {
			c.header[i] = rewrite(piece, cuts)
		}
		wrong = max(wrong, other)
	}
	return found, wrong
}

// HasCopies reports whether each recipient is to get a copy of their own.
func (v *Verdict) HasCopies() bool { return v.copies != nil }

// CopyFor returns the copy of a message that HasCopies for one recipient, a
// forward-path of the envelope without angle brackets: its header
// and the begin of its body. It shows that recipient alone. What the Message was
// decided from need not be there any more.
func (v *Verdict) CopyFor(recipient string) (header, body []byte) {
	set := newAddressSet()
	set.addPath(recipient)
	mailbox := []byte(withoutRoute(recipient))
	if set.len() == 1 {
		if written := v.copies.mailboxes[string(set.key(0))]; written != nil {
			mailbox = written
		}
	}
	to := append(append([]byte("To: "), mailbox...), crlf...)
	return bytes.Join(v.copies.header, to), bytes.Join(v.copies.body, to)
}
