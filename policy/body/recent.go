package body

import (
	"hash/maphash"

	"sendguard/policy/mail"
)

// recent remembers what was read a moment ago, for most of it comes again and again.
// What unpacks to many times its size can do nothing else: inflate repeats what came
// within 32 KiB. A text that was read is not read again, and of an address is not asked
// twice whether it counts.
type recent struct {
	addresses []said
	texts     []uint64 // by their hashes
	key       []byte
}

// How many of each are remembered: the one takes the place of another.
const (
	maxAddresses = 2 << 10
	maxTexts     = 4 << 10
)

// said is what was said of an address as it stands in the text.
type said struct {
	of, found uint64 // its hash, or zero; the one that it counts by, or zero
}

// address returns the place for an address, and whether it is known what was said.
func (r *recent) address(local, domain []byte, bare bool) (s *said, known bool) {
	if r.addresses == nil {
		r.addresses = make([]said, maxAddresses)
	}
	r.key = append(append(append(r.key[:0], local...), '@'), domain...)
	hash := hashAs(r.key, bare)
	s = &r.addresses[hash%maxAddresses]
	known = s.of == hash
	s.of = hash
	return s, known
}

// text returns the place for the hash of a text, and whether it was read.
func (r *recent) text(hash uint64) (place *uint64, known bool) {
	if r.texts == nil {
		r.texts = make([]uint64, maxTexts)
	}
	place = &r.texts[hash%maxTexts]
	return place, *place == hash
}

// hashAs is the hash of a text that is read in one of several ways. It is not zero.
func hashAs(text []byte, ways ...bool) uint64 {
	hash := maphash.Bytes(mail.HashSeed, text)
	for i, way := range ways {
		if way {
			hash ^= 0x9e3779b97f4a7c15 << i
		}
	}
	return max(hash, 1)
}

func (r *recent) memory() int { return 16*len(r.addresses) + 8*len(r.texts) }
