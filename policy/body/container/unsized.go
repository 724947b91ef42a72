package container

import (
	"bytes"
	"hash/crc32"
	"io"
)

const descriptorSignature = "PK\x07\x08"

// maxDescriptor is how long a data descriptor may be (APPNOTE.TXT section 4.3.9): a
// signature, the CRC-32, and both sizes for zip64.
const maxDescriptor = 4 + 4 + 8 + 8

// unsized reads a stored member whose length stands behind it. It ends at a descriptor
// whose sizes and CRC are its own. Until then its bytes are read as text, beside what
// else they may be.
func (z *zipReader) unsized() {
	to := z.readers.Member(z.level, true)
	defer to.Close()
	size, sum := 0, uint32(0)
	for len(z.peek(1)) > 0 {
		p := z.peek(max(maxDescriptor, z.in.Buffered()))
		n := len(p) // so many places can be looked at
		if n >= maxDescriptor {
			n -= maxDescriptor - 1
		}
		summed := 0
		for i := range n {
			crc, length := descriptorAt(p[i:], size+i)
			if length == 0 {
				continue
			}
			sum, summed = crc32.Update(sum, crc32.IEEETable, p[summed:i]), i
			if sum == crc {
				z.pass(to, i)
				z.in.Discard(length)
				return
			}
		}
		sum = crc32.Update(sum, crc32.IEEETable, p[summed:n])
		if size += n; !z.pass(to, n) {
			return
		}
	}
}

// pass has the next n bytes read, which are there.
func (z *zipReader) pass(to io.Writer, n int) bool {
	ok := z.bounds.unpack(n)
	if ok {
		to.Write(z.peek(n))
	}
	z.in.Discard(n)
	return ok
}

// descriptorAt returns the CRC and the length of a data descriptor at the start of p
// that tells of a stored member of so many bytes, or no length. Without a signature,
// what follows must be the next one.
func descriptorAt(p []byte, size int) (crc uint32, length int) {
	signature := 0
	if bytes.HasPrefix(p, []byte(descriptorSignature)) {
		signature = len(descriptorSignature)
	}
	q := p[signature:]
	if len(q) < 12 || little.Uint32(q[4:]) != uint32(size) {
		return 0, 0
	}
	switch {
	case len(q) >= 20 && little.Uint64(q[4:]) == uint64(size) && little.Uint64(q[12:]) == uint64(size):
		length = 20
	case little.Uint32(q[8:]) == uint32(size):
		length = 12
	default:
		return 0, 0
	}
	if next := q[length:]; signature == 0 && len(next) > 0 && next[0] != localSignature[0] {
		return 0, 0
	}
	return little.Uint32(q), signature + length
}
