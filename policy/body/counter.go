package body

import (
	"bytes"
	"hash/maphash"
	"io"

	"sendguard/policy/body/container"
	"sendguard/policy/mail"
)

// MaxCount is the highest limit for the addresses that a body may show: a
// Counter counts no further than one more.
const MaxCount = 1 << 17

// A Counter counts the distinct addresses that the body of a message shows: in
// its text, and in the lists and messages that are attached to it. It listens to
// a walk through the message, and holds a bounded amount of memory whatever the
// message: see Memory, and what the walk says of its own.
type Counter struct {
	inSight hashSet // what does not count
	found   hashSet
	key     []byte       // of the address at hand
	shown   *textScanner // of a field of an attached message that shows addresses
	words   bareWords
	recent  recent
	bounds  *container.Bounds
	inside  int // of so many containers is what is read at this moment
}

// NewCounter takes the addresses that do not count: the sender's own, and those
// that every recipient sees in the header. known reports domains whose addresses
// count as bare words, whatever they look like. take is asked before so many bytes
// are held for a container; nil: there is enough. The Counter must be closed.
func NewCounter(inSight *mail.AddressSet, known func(domain []byte) bool, take func(bytes int) bool) *Counter {
	s := &Counter{words: bareWords{known: known}, bounds: container.NewBounds(take)}
	for key := range inSight.All() {
		s.inSight.add(hashOf(key), false)
	}
	return s
}

// Count returns how many distinct addresses the body has shown so far, or
// MaxCount+1 where that are too many to be counted. It never falls.
func (s *Counter) Count() int { return s.found.n }

// TooLarge reports whether the containers of the message went over their bounds: what
// was found up to there is all that counts. atEnd says that the message has ended.
func (s *Counter) TooLarge(atEnd bool) bool {
	return s.bounds.Over() || atEnd && s.bounds.OverAtEnd()
}

// Starved reports whether there was no memory for a container. Nothing that the
// Counter says holds then.
func (s *Counter) Starved() bool { return s.bounds.Starved() }

// Close ends what is open, whether the message has ended or not.
func (s *Counter) Close() { s.bounds.Close() }

// Containers are what was in the containers of a message.
type Containers struct {
	container.Found
	Addresses int // distinct ones, of those that Count tells
}

// Containers returns what was found in containers so far.
func (s *Counter) Containers() Containers { return Containers{s.bounds.Found(), s.found.marked} }

// Memory returns how many bytes are held for what was found. What containers take is
// asked for.
func (s *Counter) Memory() int { return s.inSight.memory() + s.found.memory() + s.recent.memory() }

// Delimiter ends what stood before it.
func (s *Counter) Delimiter(*mail.Part) { s.endField() }

// HeaderLine reads the fields of an attached message that show addresses.
func (s *Counter) HeaderLine(p *mail.Part, line []byte, begins bool) {
	if !p.OfMessage {
		return
	}
	text := bytes.TrimRight(line, "\r\n")
	if begins && len(text) > 0 && !mail.IsBlank(text[0]) {
		s.endField()
		if colon := mail.NameEnd(text); colon > 0 && mail.HoldsAddresses[mail.KindOf(bytes.TrimRight(text[:colon], " \t"))] {
			s.shown = &textScanner{scan: s, header: true}
			text = text[colon+1:]
		}
	}
	if s.shown != nil {
		s.shown.Write(text)
	}
}

func (s *Counter) endField() {
	if s.shown != nil {
		s.shown.Close()
		s.shown = nil
	}
}

// Content reads what the content of a part shows. What stands round the parts of a
// multipart is text, too.
func (s *Counter) Content(p *mail.Part) (to io.WriteCloser, decoded bool) {
	s.endField()
	switch p.Form {
	case mail.Multipart:
		return &textScanner{scan: s}, true
	case mail.Message: // it is walked through
		return nil, false
	}
	return &content{scan: s, part: *p}, true
}

// candidate returns what an address is remembered by, or zero where it does not
// count. bare says that it is a word in running text and nothing else.
func (s *Counter) candidate(local, domain []byte, bare bool) uint64 {
	said, known := s.recent.address(local, domain, bare)
	if !known {
		said.found = s.judge(local, domain, bare)
	}
	return said.found
}

// judge is candidate for what was not met a moment ago.
func (s *Counter) judge(local, domain []byte, bare bool) uint64 {
	s.key = append(mail.NormalLocal(s.key[:0], local), '@')
	at := len(s.key)
	s.key = mail.NormalDomain(s.key, domain)
	if bare && !s.words.isDomain(s.key[at:]) {
		return 0
	}
	if hash := hashOf(s.key); !s.inSight.has(hash) {
		return hash
	}
	return 0
}

func hashOf(key []byte) uint64 { return max(maphash.Bytes(mail.HashSeed, key)&^mark, 2) }
