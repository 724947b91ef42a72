package body

import (
	"hash/maphash"

	"sendguard/policy/mail"
)

// MaxCount is the highest limit for the addresses that a body may show: a
// BodyScanner counts no further than one more.
const MaxCount = 1 << 17

// A BodyScanner counts the distinct addresses that the body of a message
// shows: in its text, and in the lists and messages that are attached to it.
// The body streams through it, in pieces of any size. It holds a bounded
// amount of memory whatever the message, see Memory. What it can no longer
// follow within that counts as too many, never as none.
//
// The sender's own addresses do not count, nor does the quoted message below
// a reply (see replyFilter), nor what has the form of an address and is none
// (see scanText).
type Counter struct {
	own     *mail.AddressSet
	found   hashSet
	key     []byte // of the address at hand
	top     *partReader
	readers int  // that are open, one inside of the other
	beyond  bool // something was nested too deeply to be followed
	closed  bool
}

// NewBodyScanner takes the header of a message, without dot-stuffing and with
// the empty line that ends it, and the addresses that do not count. stuffed says
// that the pieces come as they do on the wire (RFC 5321 section 4.5.2).
func NewCounter(header []byte, own *mail.AddressSet, stuffed bool) *Counter {
	s := &Counter{own: own}
	s.top = newPartReader(s, false)
	s.top.Write(header)
	s.top.stuffed = stuffed
	return s
}

// Write takes the next piece of the body.
func (s *Counter) Write(piece []byte) { s.top.Write(piece) }

// Close says that the body has ended.
func (s *Counter) Close() {
	if !s.closed {
		s.closed = true
		s.top.Close()
	}
}

// Count returns how many distinct addresses the body has shown so far, or
// MaxCount+1 where that are too many to be counted. It never falls.
func (s *Counter) Count() int {
	if s.beyond {
		return MaxCount + 1
	}
	return s.found.n
}

// Memory returns how many bytes the scanner may hold at this moment.
func (s *Counter) Memory() int { return s.readers*mail.ReaderMemory + s.found.memory() }

// hash returns what an address is remembered by. It is zero for the sender's
// own addresses.
func (s *Counter) hash(local, domain []byte) uint64 {
	s.key = append(mail.NormalLocal(s.key[:0], local), '@')
	s.key = mail.NormalDomain(s.key, domain)
	if s.own.Has(s.key) {
		return 0
	}
	return max(maphash.Bytes(mail.HashSeed, s.key), 1)
}
