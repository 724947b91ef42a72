package policy

import (
	"bytes"
	"hash/maphash"
	"iter"
	"strings"
)

// An addressSet holds addresses as they are compared: normal local part, @,
// normal domain. It is a hash table over one array of bytes: every message
// needs several of these sets, and most hold few addresses.
type addressSet struct {
	keys  []byte
	ends  []int   // keys[ends[n-1]:ends[n]] is the address number n
	table []int32 // open addressing: number + 1, or 0

	// Room for a few addresses, so that a small set is one allocation.
	room struct {
		keys  [256]byte
		ends  [8]int
		table [16]int32
	}
}

var hashSeed = maphash.MakeSeed()

func newAddressSet() *addressSet {
	s := &addressSet{}
	s.keys, s.ends, s.table = s.room.keys[:0], s.room.ends[:0], s.room.table[:]
	return s
}

func (s *addressSet) len() int { return len(s.ends) }

// reset empties the set. One that has grown gives its table back: to clear that
// each time would be quadratic.
func (s *addressSet) reset() {
	s.keys, s.ends, s.table = s.keys[:0], s.ends[:0], s.room.table[:]
	clear(s.table)
}

func (s *addressSet) clone() *addressSet {
	c := newAddressSet()
	c.keys, c.ends = append(c.keys, s.keys...), append(c.ends, s.ends...)
	c.table = append(c.table[:0], s.table...)
	return c
}

func (s *addressSet) key(n int) []byte {
	start := 0
	if n > 0 {
		start = s.ends[n-1]
	}
	return s.keys[start:s.ends[n]]
}

// all goes through the addresses in the order in which they came.
func (s *addressSet) all() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for n := range s.ends {
			if !yield(s.key(n)) {
				return
			}
		}
	}
}

// add puts an address into the set. It returns its normal domain, good until
// the next call, and whether the address is new to the set.
func (s *addressSet) add(local, domain []byte) (normal []byte, added bool) {
	start := len(s.keys)
	s.keys = append(normalLocal(s.keys, local), '@')
	at := len(s.keys)
	s.keys = normalDomain(s.keys, domain)
	if !s.commit(start) {
		return nil, false
	}
	return s.keys[at:], true
}

// addOnly adds the address of a set that holds just one.
func (s *addressSet) addOnly(other *addressSet) {
	if other.len() == 1 {
		start := len(s.keys)
		s.keys = append(s.keys, other.key(0)...)
		s.commit(start)
	}
}

// addPath adds the address of a path of the envelope (RFC 5321 section 4.1.2):
// it is read as servers read it, not as it would be shown. A route before it
// does not matter; postmaster may stand without a domain.
func (s *addressSet) addPath(path string) {
	path = withoutRoute(path)
	if at := strings.LastIndexByte(path, '@'); at > 0 {
		s.add([]byte(path[:at]), []byte(path[at+1:]))
	} else if path != "" {
		start := len(s.keys)
		s.keys = appendLower(s.keys, []byte(path))
		s.commit(start)
	}
}

// scan adds all addresses that values show.
func (s *addressSet) scan(values ...[]byte) {
	for _, v := range values {
		scanAddresses(v, func(local, domain []byte) { s.add(local, domain) })
	}
}

// commit makes keys[start:] an address of the set, or takes it back if the set
// has it.
func (s *addressSet) commit(start int) bool {
	if 2*len(s.ends) >= len(s.table) {
		s.grow()
	}
	place := s.find(s.keys[start:])
	if s.table[place] != 0 {
		s.keys = s.keys[:start]
		return false
	}
	s.ends = append(s.ends, len(s.keys))
	s.table[place] = int32(len(s.ends))
	return true
}

func (s *addressSet) has(key []byte) bool { return s.table[s.find(key)] != 0 }

// find returns the place of a key in the table, or the one where it would be.
func (s *addressSet) find(key []byte) int {
	mask := len(s.table) - 1
	place := int(maphash.Bytes(hashSeed, key)) & mask
	for s.table[place] != 0 && !bytes.Equal(s.key(int(s.table[place])-1), key) {
		place = (place + 1) & mask
	}
	return place
}

// grow makes the table four times as large; at most half of it is ever used.
func (s *addressSet) grow() {
	s.table = make([]int32, 4*len(s.table))
	for n := range s.ends {
		s.table[s.find(s.key(n))] = int32(n + 1)
	}
}

// distinctAddresses are all addresses that values show.
func distinctAddresses(values ...[]byte) *addressSet {
	set := newAddressSet()
	set.scan(values...)
	return set
}

// withoutRoute returns a path without the source route that may stand before
// its address (RFC 5321 appendix C).
func withoutRoute(path string) string {
	if route, rest, ok := strings.Cut(path, ":"); ok && strings.HasPrefix(route, "@") {
		return rest
	}
	return path
}
