package policy

import (
	"bytes"
	"iter"
	"slices"
)

// conceal takes the external addresses out of the fields that show them, in the
// message's header and in its copies. It returns the edits, and the kinds of
// the message's fields that they change.
func (d *decision) conceal() (e edits, changed [kindCount]bool) {
	e = make(edits, len(d.headers))
	for n := range d.headers {
		if h := &d.headers[n]; !h.fixed {
			e[n] = d.concealIn(h, func(kind fieldKind) { changed[kind] = changed[kind] || n == 0 })
		}
	}
	return e, changed
}

// concealIn takes the external addresses out of one header; changes is called
// with the kind of each field that changes.
func (d *decision) concealIn(h *shownHeader, changes func(fieldKind)) (cuts []cut) {
	emptyTo, keptTo := -1, false // the first cut of a To field that would be left empty
	for f := range d.concealable(h) {
		if !d.showsOutside(h.body(f)) {
			keptTo = keptTo || f.kind == kindTo && distinctAddresses(h.body(f)).len() > 0
			continue
		}
		changes(f.kind)
		if kept := d.keptMailboxes(h.body(f)); len(kept) > 0 {
			keptTo = keptTo || f.kind == kindTo
			cuts = append(cuts, cut{start: f.value, end: f.end, with: fieldBody(kept)})
			continue
		}
		if f.kind == kindTo && emptyTo < 0 {
			emptyTo = len(cuts)
		}
		cuts = append(cuts, cut{start: f.start, end: f.end})
	}
	if from := ownMailbox(d.outer); !keptTo && emptyTo >= 0 && from != nil {
		c := &cuts[emptyTo]
		c.start += bytes.IndexByte(h.raw[c.start:], ':') + 1
		c.with = from
	}
	return cuts
}

// concealable goes through the fields of a header that addresses are taken out
// of, less those that go anyway, and a Reply-To of one address.
func (d *decision) concealable(h *shownHeader) iter.Seq[field] {
	replyTo := distinctAddresses(h.bodies(kindReplyTo)...)
	return func(yield func(field) bool) {
		for _, f := range h.fields {
			if !concealed[f.kind] || d.hidden(h, f) || f.kind == kindReplyTo && replyTo.len() == 1 {
				continue
			}
			if !yield(f) {
				return
			}
		}
	}
}

// concealed are the fields that addresses are taken out of.
var concealed = func() (kinds [kindCount]bool) {
	kinds = showsAddresses
	kinds[kindFrom], kinds[kindSender] = false, false
	return kinds
}()

// ownMailbox is the value of From as it is written, for a To that would be left
// empty: filters take a To without an address for spam.
func ownMailbox(h *header) []byte {
	bodies := h.bodies(kindFrom)
	if len(bodies) != 1 || distinctAddresses(bodies...).len() != 1 {
		return nil
	}
	return append(bytes.TrimSuffix(bytes.Clone(bodies[0]), crlf), crlf...)
}

// fieldBody writes mailboxes as the value of a field.
func fieldBody(mailboxes [][]byte) []byte {
	value := append([]byte{' '}, bytes.Join(mailboxes, []byte(",\r\n\t"))...)
	return append(value, crlf...)
}

// showsOutside reports whether a value shows an address that must go.
func (d *decision) showsOutside(value []byte) (outside bool) {
	set := newAddressSet()
	scanAddresses(value, func(local, domain []byte) {
		if normal, added := set.add(local, domain); added {
			outside = outside || !d.internal.has(normal) && !d.own.has(set.key(set.len()-1))
		}
	})
	return outside
}

// showsOthers reports whether a value shows an address that is not the sender's.
func (d *decision) showsOthers(value []byte) bool {
	for address := range distinctAddresses(value).all() {
		if !d.own.has(address) {
			return true
		}
	}
	return false
}

// keptMailboxes returns the mailboxes of an address field that may stay: as
// they are written where they hold one address, and as the bare address
// otherwise. What they show together is looked at once more; where that is an
// outside address, however it came there, none stays.
func (d *decision) keptMailboxes(value []byte) (kept [][]byte) {
	set := newAddressSet()
	for item := range splitList(value) {
		var bare []byte
		inside, outside := 0, 0
		set.reset()
		scanAddresses(item, func(local, domain []byte) {
			switch normal, added := set.add(local, domain); {
			case !added:
			case !d.internal.has(normal) && !d.own.has(set.key(set.len()-1)):
				outside++
			default:
				inside++
				if address := slices.Concat(local, []byte("@"), domain); isPlainAddress(address) {
					if bare != nil {
						bare = append(bare, ",\r\n\t"...)
					}
					bare = append(bare, address...)
				}
			}
		})
		switch {
		case inside == 1 && outside == 0 && isMailbox(item):
			kept = append(kept, bytes.TrimSpace(item))
		case bare != nil:
			kept = append(kept, bare)
		}
	}
	if d.showsOutside(fieldBody(kept)) {
		return nil
	}
	return kept
}

// isPlainAddress reports an address that can be written without its context:
// atoms, an @ and a domain name (RFC 5322 section 3.4.1).
func isPlainAddress(address []byte) bool {
	for _, c := range address {
		if c <= ' ' || c >= 0x7f || bytes.IndexByte([]byte(`()<>,;:"\[]`), c) >= 0 {
			return false
		}
	}
	return !bytes.Contains(address, encodedWordStart)
}

// isMailbox reports an item of a list that is one mailbox and nothing else: no
// part of a group, and all that it opens it closes.
func isMailbox(item []byte) bool {
	angles := 0
	for i := 0; i < len(item); i++ {
		switch c := item[i]; c {
		case '"', '(':
			end, ok := closing(item, i)
			if !ok {
				return false
			}
			i = end - 1
		case '<':
			angles++
		case '>':
			angles--
		case ':', ')', 0:
			return false
		}
		if angles < 0 || angles > 1 {
			return false
		}
	}
	return angles == 0
}

// splitList parts an address list at its commas and semicolons, but for those
// in quoted strings, comments and encoded words. Items that show nothing are
// left out.
func splitList(value []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		start, openCount, nextEncoded := 0, 0, 0
		for i := 0; i <= len(value); i++ {
			if i == len(value) || value[i] == ',' || value[i] == ';' {
				if item := value[start:i]; bytes.IndexByte(item, '@') >= 0 || bytes.Contains(item, encodedWordStart) {
					if !yield(item) {
						return
					}
				}
				start = i + 1
				continue
			}
			switch c := value[i]; {
			case c == '=' && i >= nextEncoded:
				w, ok := nextWord(value, i)
				switch {
				case !ok:
					nextEncoded = len(value)
				case w.start == i:
					i = w.end - 1
				default:
					nextEncoded = w.start
				}
			case (c == '"' || c == '(') && openCount <= maxOpenComments:
				if end, ok := closing(value, i); ok {
					i = end - 1
				} else {
					openCount++
				}
			}
		}
	}
}

// rewriteRefusal says why the addresses of a message cannot be taken out of its
// header, in fields of the kinds that would change: they would still be somewhere, or a signature would break.
func (d *decision) rewriteRefusal(changed [kindCount]bool) Reason {
	for kind, is := range changed {
		if is && d.signed[kind] {
			return ReasonSigned
		}
	}
	for n := range d.headers { // of the parts that a copy may be in, too
		for _, media := range d.headers[n].mediaTypes() {
			switch media {
			case "multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime":
				return ReasonSealed
			case "application/ms-tnef", "application/vnd.ms-tnef":
				return ReasonAttendees
			}
		}
	}
	if isCalendar(d.outer, d.message.Body) {
		return ReasonAttendees
	}
	return ReasonNone
}
