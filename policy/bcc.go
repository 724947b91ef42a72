package policy

import (
	"bytes"
	"iter"
	"slices"

	"sendguard/policy/mail"
)

// conceal takes the external addresses out of the fields that show them, in the
// message's header and in its copies. It returns the edits, and the kinds of
// the message's fields that they change.
func (d *decision) conceal() (e edits, changed [mail.Kinds]bool) {
	e = make(edits, len(d.headers))
	for n := range d.headers {
		if h := &d.headers[n]; !h.Frozen {
			e[n] = d.concealIn(h, func(kind mail.Kind) { changed[kind] = changed[kind] || n == 0 })
			if c, ok := withoutReplyName(h); ok {
				changed[mail.ReplyTo] = changed[mail.ReplyTo] || n == 0
				e[n] = inOrder(append(e[n], c))
			}
		}
	}
	return e, changed
}

// concealIn takes the external addresses out of one header; changes is called
// with the kind of each field that changes.
func (d *decision) concealIn(h *mail.ShownHeader, changes func(mail.Kind)) (cuts []cut) {
	emptied, left := -1, false // the first cut that empties To or Cc, To before Cc; whether they still show anybody
	for f := range d.concealable(h) {
		names := f.Kind == mail.To || f.Kind == mail.Cc
		if !d.showsOutside(h.Value(f)) {
			left = left || names && mail.DistinctAddresses(h.Value(f)).Len() > 0
			continue
		}
		changes(f.Kind)
		if kept := d.keptMailboxes(h.Value(f)); len(kept) > 0 && f.Kind != mail.NotesTo {
			left = left || names
			cuts = append(cuts, cut{start: f.Value, end: f.End, with: fieldBody(kept)})
			continue
		}
		if names && (emptied < 0 || f.Kind == mail.To && !isKind(&h.Header, cuts[emptied], mail.To)) {
			emptied = len(cuts)
		}
		cuts = append(cuts, cut{start: f.Start, end: f.End})
	}
	if from := ownMailbox(d.outer); !left && emptied >= 0 && from != nil {
		changes(mail.To)
		cuts = standIn(h, cuts, emptied, from)
	}
	return cuts
}

// standIn puts a mailbox into To: filters take a message without anybody in To
// and Cc for spam. It stands in the To field that a cut has emptied, in one that
// showed nobody, or in the place of Cc.
func standIn(h *mail.ShownHeader, cuts []cut, emptied int, mailbox []byte) []cut {
	c := &cuts[emptied]
	if isKind(&h.Header, *c, mail.To) {
		c.start += bytes.IndexByte(h.Raw[c.start:], ':') + 1
		c.with = mailbox
		return cuts
	}
	if n := slices.IndexFunc(h.Fields, func(f mail.Field) bool { return f.Kind == mail.To }); n >= 0 {
		f := h.Fields[n]
		return inOrder(append(cuts, cut{start: f.Value, end: f.End, with: mailbox}))
	}
	c.with = append([]byte("To:"), mailbox...)
	return cuts
}

// concealable goes through the fields of a header that addresses are taken out
// of, less those that go anyway, and a Reply-To of one mailbox.
func (d *decision) concealable(h *mail.ShownHeader) iter.Seq[mail.Field] {
	keepsReplyTo := mail.DistinctAddresses(h.Values(mail.ReplyTo)...).Len() == 1
	if _, ok := withoutReplyName(h); ok {
		keepsReplyTo = true
	}
	return func(yield func(mail.Field) bool) {
		for _, f := range h.Fields {
			if !concealed[f.Kind] || d.takesOut(h, f) || f.Kind == mail.ReplyTo && keepsReplyTo {
				continue
			}
			if !yield(f) {
				return
			}
		}
	}
}

// concealed are the fields that addresses are taken out of.
var concealed = func() (kinds [mail.Kinds]bool) {
	kinds = mail.HoldsAddresses
	kinds[mail.From], kinds[mail.Sender] = false, false
	return kinds
}()

// ownMailbox is the value of From as it is written, where it is one mailbox.
func ownMailbox(h *mail.Header) []byte {
	bodies := h.Values(mail.From)
	if len(bodies) != 1 || mail.DistinctAddresses(bodies...).Len() != 1 {
		return nil
	}
	return append(bytes.TrimSuffix(bytes.Clone(bodies[0]), mail.CRLF), mail.CRLF...)
}

// keptMailboxes returns the mailboxes of an address field that may stay: as
// they are written where they hold one address, and as the bare address
// otherwise. What they show together is looked at once more; where that is an
// outside address, however it came there, none stays.
func (d *decision) keptMailboxes(value []byte) (kept [][]byte) {
	set := mail.NewAddressSet()
	for item := range splitList(value) {
		var bare []byte
		inside, outside := 0, 0
		set.Reset()
		mail.ScanAddresses(item, func(local, domain []byte) {
			switch normal, added := set.Add(local, domain); {
			case !added:
			case !d.internal.Has(normal) && !d.own.Has(set.Key(set.Len()-1)):
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
