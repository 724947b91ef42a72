package policy

import (
	"bytes"
	"slices"
)

// conceal takes the external addresses out of the fields that show them. It
// returns the cuts, and the kinds of the fields that they change.
func (h *header) conceal(internal domainSet, own *addressSet, hidden func(field) bool) (cuts []cut, changed [kindCount]bool) {
	var emptyTo []int // cuts of To fields that would be left empty
	keptTo := false
	for _, f := range h.fields {
		if !concealed[f.kind] || hidden(f) || f.kind == kindReplyTo && distinctAddresses(h.bodies(kindReplyTo)...).len() == 1 {
			continue
		}
		kept, all := keptMailboxes(h.body(f), internal, own)
		switch {
		case all:
			keptTo = keptTo || f.kind == kindTo && len(kept) > 0
			continue
		case len(kept) > 0:
			keptTo = keptTo || f.kind == kindTo
			cuts = append(cuts, cut{f.value, f.end, fieldBody(kept)})
		default:
			if f.kind == kindTo {
				emptyTo = append(emptyTo, len(cuts))
			}
			cuts = append(cuts, cut{f.start, f.end, nil})
		}
		changed[f.kind] = true
	}
	if from := h.ownMailbox(); !keptTo && len(emptyTo) > 0 && from != nil {
		c := &cuts[emptyTo[0]]
		colon := bytes.IndexByte(h.raw[c.start:], ':')
		c.start += colon + 1
		c.with = from
	}
	return cuts, changed
}

// concealed are the fields that addresses are taken out of.
var concealed = func() (kinds [kindCount]bool) {
	kinds = showsAddresses
	kinds[kindFrom], kinds[kindSender] = false, false
	return kinds
}()

// ownMailbox is the value of From as it is written, for a To that would be left
// empty: filters take a To without an address for spam.
func (h *header) ownMailbox() []byte {
	bodies := h.bodies(kindFrom)
	if len(bodies) != 1 || distinctAddresses(bodies...).len() != 1 {
		return nil
	}
	return bodies[0]
}

// fieldBody writes mailboxes as the value of a field.
func fieldBody(mailboxes [][]byte) []byte {
	value := append([]byte{' '}, bytes.Join(mailboxes, []byte(",\r\n\t"))...)
	return append(value, crlf...)
}

// keptMailboxes returns the mailboxes of an address field that may stay, as
// they are written where they hold one address, and as the bare address
// otherwise. all reports that the field holds no others.
func keptMailboxes(value []byte, internal domainSet, own *addressSet) (kept [][]byte, all bool) {
	all = true
	for _, item := range splitList(value) {
		stays, goes := [][]byte(nil), false
		set := newAddressSet()
		scanAddresses(item, func(local, domain []byte) {
			normal, added := set.add(local, domain)
			switch {
			case !added:
			case internal.has(normal) || own.has(set.key(set.len()-1)):
				stays = append(stays, slices.Concat(local, []byte("@"), domain))
			default:
				goes = true
			}
		})
		item = bytes.TrimSpace(item)
		switch {
		case !goes && len(stays) == 1 && !bytes.ContainsAny(item, ":"):
			kept = append(kept, item)
		default:
			kept = append(kept, stays...)
		}
		all = all && !goes
	}
	return kept, all
}

// splitList parts an address list at its commas and semicolons, but for those
// in quoted strings and comments.
func splitList(value []byte) (items [][]byte) {
	start, openCount := 0, 0
	for i := 0; i < len(value); i++ {
		switch c := value[i]; c {
		case '"', '(':
			end := byte('"')
			if c == '(' {
				end = ')'
			}
			if openCount > maxOpenComments {
				continue
			}
			if next, ok := closing(value, i, c, end); ok {
				i = next - 1
			} else {
				openCount++
			}
		case ',', ';':
			items = append(items, value[start:i])
			start = i + 1
		}
	}
	return append(items, value[start:])
}
