package body

// A hashSet is a set of addresses by their hashes, of which the lowest bit is not
// used, and the rest is not zero. With 63 bits, two of MaxCount addresses are taken for
// one in a message of a thousand million.
type hashSet struct {
	table  []uint64 // open addressing; the lowest bit says that it was marked
	n      int      // at most MaxCount+1
	marked int
}

// mark is the bit of a hash that was marked when it was added, once at least.
const mark = 1

func (s *hashSet) add(hash uint64, marked bool) {
	if 2*s.n >= len(s.table) {
		s.grow()
	}
	place := s.find(hash)
	if s.table[place] == 0 {
		if s.n > MaxCount {
			return
		}
		s.table[place] = hash
		s.n++
	}
	if marked && s.table[place]&mark == 0 {
		s.table[place] |= mark
		s.marked++
	}
}

func (s *hashSet) grow() {
	old := s.table
	s.table = make([]uint64, max(64, 2*len(old)))
	for _, h := range old {
		if h != 0 {
			s.table[s.find(h&^mark)] = h
		}
	}
}

func (s *hashSet) has(hash uint64) bool { return s.n > 0 && s.table[s.find(hash)] != 0 }

// find returns the place of a hash in the table, or the one where it would be.
func (s *hashSet) find(hash uint64) int {
	mask := len(s.table) - 1
	place := int(hash>>1) & mask
	for s.table[place] != 0 && s.table[place]&^mark != hash {
		place = (place + 1) & mask
	}
	return place
}

func (s *hashSet) memory() int { return 8 * len(s.table) }
