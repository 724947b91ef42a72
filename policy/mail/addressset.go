package mail

import (
	"bytes"
	"hash/maphash"
	"iter"
	"strings"
)

// An AddressSet holds addresses as they are compared: normal local part, @,
// normal domain. It is a hash table over one array of bytes: every message
// needs several of these sets, and most hold few addresses.
type AddressSet struct {
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

var HashSeed = maphash.MakeSeed()

func NewAddressSet() *AddressSet {
	s := &AddressSet{}
	s.keys, s.ends, s.table = s.room.keys[:0], s.room.ends[:0], s.room.table[:]
	return s
}

func (s *AddressSet) Len() int { return len(s.ends) }

// Reset empties the set. One that has grown gives its table back: to clear that
// each time would be quadratic.
func (s *AddressSet) Reset() {
	s.keys, s.ends, s.table = s.keys[:0], s.ends[:0], s.room.table[:]
	clear(s.table)
}

func (s *AddressSet) Clone() *AddressSet {
	c := NewAddressSet()
	c.keys, c.ends = append(c.keys, s.keys...), append(c.ends, s.ends...)
	c.table = append(c.table[:0], s.table...)
	return c
}

func (s *AddressSet) Key(n int) []byte {
	start := 0
	if n > 0 {
		start = s.ends[n-1]
	}
	return s.keys[start:s.ends[n]]
}

// All goes through the addresses in the order in which they came.
func (s *AddressSet) All() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for n := range s.ends {
			if !yield(s.Key(n)) {
				return
			}
		}
	}
}

// Add puts an address into the set. It returns its normal domain, good until
// the next call, and whether the address is new to the set.
func (s *AddressSet) Add(local, domain []byte) (normal []byte, added bool) {
	start := len(s.keys)
	s.keys = append(NormalLocal(s.keys, local), '@')
	at := len(s.keys)
	s.keys = NormalDomain(s.keys, domain)
	if !s.commit(start) {
		return nil, false
	}
	return s.keys[at:], true
}

// AddOnly adds the address of a set that holds just one.
func (s *AddressSet) AddOnly(other *AddressSet) {
	if other.Len() == 1 {
		start := len(s.keys)
		s.keys = append(s.keys, other.Key(0)...)
		s.commit(start)
	}
}

// AddPath adds the address of a path of the envelope (RFC 5321 section 4.1.2):
// it is read as servers read it, not as it would be shown. A route before it
// does not matter; postmaster may stand without a domain.
func (s *AddressSet) AddPath(path string) {
	path = WithoutRoute(path)
	if at := strings.LastIndexByte(path, '@'); at > 0 {
		s.Add([]byte(path[:at]), []byte(path[at+1:]))
	} else if path != "" {
		start := len(s.keys)
		s.keys = appendLower(s.keys, []byte(path))
		s.commit(start)
	}
}

// Scan adds all addresses that values show.
func (s *AddressSet) Scan(values ...[]byte) {
	for _, v := range values {
		ScanAddresses(v, func(local, domain []byte) { s.Add(local, domain) })
	}
}

// commit makes keys[start:] an address of the set, or takes it back if the set
// has it.
func (s *AddressSet) commit(start int) bool {
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

func (s *AddressSet) Has(key []byte) bool { return s.table[s.find(key)] != 0 }

// find returns the place of a key in the table, or the one where it would be.
func (s *AddressSet) find(key []byte) int {
	mask := len(s.table) - 1
	place := int(maphash.Bytes(HashSeed, key)) & mask
	for s.table[place] != 0 && !bytes.Equal(s.Key(int(s.table[place])-1), key) {
		place = (place + 1) & mask
	}
	return place
}

// grow makes the table four times as large; at most half of it is ever used.
func (s *AddressSet) grow() {
	s.table = make([]int32, 4*len(s.table))
	for n := range s.ends {
		s.table[s.find(s.Key(n))] = int32(n + 1)
	}
}

// DistinctAddresses are all addresses that values show.
func DistinctAddresses(values ...[]byte) *AddressSet {
	set := NewAddressSet()
	set.Scan(values...)
	return set
}

// WithoutRoute returns a path without the source route that may stand before
// its address (RFC 5321 appendix C).
func WithoutRoute(path string) string {
	if route, rest, ok := strings.Cut(path, ":"); ok && strings.HasPrefix(route, "@") {
		return rest
	}
	return path
}
