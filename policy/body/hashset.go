package body

// A hashSet is a set of addresses by their hashes, none of which is zero. With
// 64 bits, two of MaxCount addresses are taken for one in a message of four
// thousand million.
type hashSet struct {
	table []uint64 // open addressing
	n     int      // at most MaxCount+1
}

func (s *hashSet) add(hash uint64) {
	if s.n > MaxCount {
		return
	}
	if 2*s.n >= len(s.table) {
		old := s.table
		s.table = make([]uint64, max(64, 2*len(old)))
		for _, h := range old {
			if h != 0 {
				s.table[s.find(h)] = h
			}
		}
	}
	if place := s.find(hash); s.table[place] == 0 {
		s.table[place] = hash
		s.n++
	}
}

func (s *hashSet) has(hash uint64) bool { return s.n > 0 && s.table[s.find(hash)] != 0 }

// find returns the place of a hash in the table, or the one where it would be.
func (s *hashSet) find(hash uint64) int {
	mask := len(s.table) - 1
	place := int(hash) & mask
	for s.table[place] != 0 && s.table[place] != hash {
		place = (place + 1) & mask
	}
	return place
}

func (s *hashSet) memory() int { return 8 * len(s.table) }
