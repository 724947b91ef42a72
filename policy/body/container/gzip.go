package container

import (
	"bytes"
	"compress/gzip"
	"io"
)

// IsGzip reports what begins like a gzip file with deflated data (RFC 1952).
func IsGzip(start []byte) bool { return bytes.HasPrefix(start, []byte("\x1f\x8b\x08")) }

// Gzip returns what reads a gzip file inside of level other containers, or nil where
// it must not be read.
func (b *Bounds) Gzip(level int, r Readers) io.WriteCloser {
	if u := b.openUnpacker(level, r, readGzip); u != nil {
		return u
	}
	return nil
}

// readGzip reads members that stand one behind the other (RFC 1952 section 2.2): as
// one file, which is what they are. What follows is read as text.
func readGzip(u *unpacker) {
	member := u.readers.Member(u.level, false)
	var z gzip.Reader
	for IsGzip(u.peek(3)) && u.bounds.member() {
		place := u.remember()
		err := z.Reset(u.in)
		if err == nil {
			z.Multistream(false)
			err = u.copy(member, &z)
		}
		if err != io.EOF {
			u.restore(place)
			break
		}
	}
	member.Close()
	for !u.bounds.Done() && len(u.peek(1)) > 0 {
		u.gap()
	}
}
