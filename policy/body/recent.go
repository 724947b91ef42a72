package body

import (
	"hash/maphash"

	"sendguard/policy/mail"
)

// recent remembers what was said of the last addresses. Most come again and again; and
// what unpacks to many times its size can do nothing else, for inflate repeats only
// what came within 32 KiB.
type recent struct {
	table []said
	key   []byte
}

const maxRecent = 4 << 10

// said is what was said of an address as it stands in the text.
type said struct {
	of, found uint64 // its hash, or zero; the one that it counts by, or zero
}

// of returns the place for an address, and whether it is known what was said.
func (r *recent) of(local, domain []byte, bare bool) (s *said, known bool) {
	if r.table == nil {
		r.table = make([]said, maxRecent)
	}
	r.key = append(append(append(r.key[:0], local...), '@'), domain...)
	if bare {
		r.key = append(r.key, ' ')
	}
	hash := max(maphash.Bytes(mail.HashSeed, r.key), 1)
	s = &r.table[hash%maxRecent]
	known = s.of == hash
	s.of = hash
	return s, known
}

func (r *recent) memory() int { return 16 * len(r.table) }
