package policy

import (
	"bytes"
	"iter"

	"sendguard/policy/mail"
)

// fieldBody writes mailboxes as the value of a field.
func fieldBody(mailboxes [][]byte) []byte {
	value := append([]byte{' '}, bytes.Join(mailboxes, []byte(",\r\n\t"))...)
	return append(value, mail.CRLF...)
}

// isPlainAddress reports an address that can be written without its context:
// atoms, an @ and a domain name (RFC 5322 section 3.4.1).
func isPlainAddress(address []byte) bool {
	for _, c := range address {
		if c <= ' ' || c >= 0x7f || bytes.IndexByte([]byte(`()<>,;:"\[]`), c) >= 0 {
			return false
		}
	}
	return !bytes.Contains(address, mail.EncodedWordStart)
}

// isMailbox reports an item of a list that is one mailbox and nothing else: no
// part of a group, and all that it opens it closes.
func isMailbox(item []byte) bool {
	angles := 0
	for i := 0; i < len(item); i++ {
		switch c := item[i]; c {
		case '"', '(':
			end, ok := mail.Closing(item, i)
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

// splitList separates an address list at its commas and semicolons, but for those
// in quoted strings, comments and encoded words. Items that show nothing are
// left out.
func splitList(value []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		start, openCount, nextEncoded := 0, 0, 0
		for i := 0; i <= len(value); i++ {
			if i == len(value) || value[i] == ',' || value[i] == ';' {
				if item := value[start:i]; mail.MayShow(item) {
					if !yield(item) {
						return
					}
				}
				start = i + 1
				continue
			}
			switch c := value[i]; {
			case c == '=' && i >= nextEncoded:
				w, ok := mail.NextWord(value, i)
				switch {
				case !ok:
					nextEncoded = len(value)
				case w.Start == i:
					i = w.End - 1
				default:
					nextEncoded = w.Start
				}
			case (c == '"' || c == '(') && openCount <= mail.MaxOpenComments:
				if end, ok := mail.Closing(value, i); ok {
					i = end - 1
				} else {
					openCount++
				}
			}
		}
	}
}

// withoutGroupName returns an item of a list without the name of a group that
// begins with it (RFC 5322 section 3.4).
func withoutGroupName(item []byte) []byte {
	for i := 0; i < len(item); i++ {
		switch item[i] {
		case '"', '(':
			end, ok := mail.Closing(item, i)
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

// showsOutside reports whether a value shows an address that must go.
func (d *decision) showsOutside(value []byte) (outside bool) {
	set := mail.NewAddressSet()
	mail.ScanAddresses(value, func(local, domain []byte) {
		if normal, added := set.Add(local, domain); added {
			outside = outside || !d.internal.Has(normal) && !d.own.Has(set.Key(set.Len()-1))
		}
	})
	return outside
}

// showsOthers reports whether a value shows an address that is not the sender's.
func (d *decision) showsOthers(value []byte) bool {
	for address := range mail.DistinctAddresses(value).All() {
		if !d.own.Has(address) {
			return true
		}
	}
	return false
}
