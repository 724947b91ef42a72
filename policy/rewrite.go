package policy

import (
	"bytes"
	"slices"

	"sendguard/policy/mail"
)

// A cut is a place in a raw header that a rewrite replaces. The To field of a
// copy for one recipient takes its place where toField is set.
type cut struct {
	start, end int
	with       []byte
	toField    bool
}

// A template is what a rewrite leaves, in pieces: between each two of them
// there is a place for the To field of a copy.
type template [][]byte

// newTemplate makes cuts in raw; they are in order. Where two overlap, the first
// one wins.
func newTemplate(raw []byte, cuts []cut) (t template) {
	piece := make([]byte, 0, len(raw))
	pos := 0
	for _, c := range cuts {
		if c.start < pos {
			continue
		}
		piece = append(append(piece, raw[pos:c.start]...), c.with...)
		if c.toField {
			t, piece = append(t, piece), nil
		}
		pos = c.end
	}
	return append(t, append(piece, raw[pos:]...))
}

// rewrite returns raw with cuts made, and no To field of a copy. Without cuts it
// is raw itself.
func rewrite(raw []byte, cuts []cut) []byte {
	if len(cuts) == 0 {
		return raw
	}
	t := newTemplate(raw, cuts)
	if len(t) == 1 {
		return t[0]
	}
	return bytes.Join(t, nil)
}

// edits are the cuts in each shown header of a message.
type edits [][]cut

// add adds further ones; there may be none for any header.
func (e edits) add(more edits) {
	for n, cuts := range more {
		e[n] = append(e[n], cuts...)
	}
}

// inOrder sorts cuts by their places.
func inOrder(cuts []cut) []cut {
	slices.SortStableFunc(cuts, func(a, b cut) int { return a.start - b.start })
	return cuts
}

// split returns the cuts in the message's own header and those in its body, in
// order.
func (d *decision) split(e edits) (header, body []cut) {
	header = e[0]
	for n := 1; n < len(e); n++ {
		for _, c := range e[n] {
			c.start += d.headers[n].At
			c.end += d.headers[n].At
			body = append(body, c)
		}
	}
	return inOrder(header), inOrder(body)
}

// apply makes the edits, if there are any. rest is what follows the start of the
// body.
func (d *decision) apply(rest []byte) (header, body []byte, rewritten bool) {
	inHeader, inBody := d.split(d.edits)
	if len(inHeader)+len(inBody) == 0 {
		return nil, nil, false
	}
	return withAField(rewrite(d.outer.Raw, inHeader)), slices.Concat(rewrite(d.start, inBody), rest), true
}

// withAField returns a header that holds a field: a message whose first line is
// empty may be read from the line behind it, and so show as header what is body.
// To without anybody (RFC 5322 section 3.4) stands where a rewrite left none. The
// line that a mailbox file puts before a message is no field, and servers drop it.
func withAField(header []byte) []byte {
	fields := header
	if mail.IsMboxFrom(header) {
		_, fields, _ = bytes.Cut(header, mail.CRLF)
	}
	if len(fields) > 0 && !bytes.HasPrefix(fields, mail.CRLF) {
		return header
	}
	return slices.Concat(header[:len(header)-len(fields)], []byte("To: undisclosed-recipients:;\r\n"), fields)
}

// afterwards returns the headers that would be shown after edits.
func (d *decision) afterwards(e edits) []mail.ShownHeader {
	after := slices.Clone(d.headers)
	for n := range after {
		if len(e[n]) > 0 {
			after[n].Header = mail.ParseHeader(rewrite(after[n].Raw, e[n]))
		}
	}
	return after
}

// rewriteRefusal says why the addresses of a message cannot be taken out of its
// header, in fields of the kinds that would change: they would still be somewhere, or a signature would break.
func (d *decision) rewriteRefusal(changed [mail.Kinds]bool) Reason {
	for kind, is := range changed {
		if is && d.signed[kind] {
			return ReasonSigned
		}
	}
	for n := range d.headers { // of the parts that a copy may be in, too
		for _, media := range d.headers[n].MediaTypes() {
			switch media {
			case "multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime":
				return ReasonSealed
			case "application/ms-tnef", "application/vnd.ms-tnef":
				return ReasonAttendees
			}
		}
	}
	if invites(d.outer, d.start) {
		return ReasonAttendees
	}
	return ReasonNone
}

// repeats reports whether a copy of the header that cannot change shows what a
// rewrite would take out of sight.
func (d *decision) repeats(action Action) bool {
	for _, h := range d.headers {
		for _, f := range h.Fields {
			if h.Frozen && concealed[f.Kind] && (d.showsOutside(h.Value(f)) || action == Individual && d.showsOthers(h.Value(f))) {
				return true
			}
		}
	}
	return false
}
