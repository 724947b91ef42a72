package body

import (
	"bytes"
	"hash/maphash"
	"io"
	"slices"
	"strings"

	"sendguard/policy/mail"
)

// MaxCount is the highest limit for the addresses that a body may show: a
// Counter counts no further than one more.
const MaxCount = 1 << 17

// A Counter counts the distinct addresses that the body of a message shows: in
// its text, and in the lists and messages that are attached to it. It listens to
// a walk through the message, and holds a bounded amount of memory whatever the
// message: see Memory, and what the walk says of its own.
//
// The sender's own addresses do not count, nor does the quoted message below
// a reply (see replyFilter), nor what has the form of an address and is none
// (see scanText).
type Counter struct {
	own   *mail.AddressSet
	found hashSet
	key   []byte       // of the address at hand
	shown *textScanner // of a field of an attached message that shows addresses
}

// NewCounter takes the addresses that do not count.
func NewCounter(own *mail.AddressSet) *Counter { return &Counter{own: own} }

// Count returns how many distinct addresses the body has shown so far, or
// MaxCount+1 where that are too many to be counted. It never falls.
func (s *Counter) Count() int { return s.found.n }

// Memory returns how many bytes are held for what was found.
func (s *Counter) Memory() int { return s.found.memory() }

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

// Content reads what the content of a part shows, if it is text of any kind. What
// stands round the parts of a multipart is text, too.
func (s *Counter) Content(p *mail.Part) (to io.WriteCloser, decoded bool) {
	s.endField()
	switch kindOf(p) {
	case around:
		return &textScanner{scan: s}, true
	case text:
		return p.Text(s.text(p)), true
	case markup:
		t := s.text(p)
		t.html = true
		return p.Text(&htmlScanner{text: t}), true
	}
	return nil, false
}

// text is for the text of a part. In the message's own text, what a reply
// quotes does not count.
func (s *Counter) text(p *mail.Part) *textScanner {
	t := &textScanner{scan: s, utf7: p.IsUTF7()}
	if !p.InMessage && !p.IsAttachment() {
		t.reply = &replyFilter{found: &s.found}
	}
	return t
}

// A kind is how the content of a part is read.
type kind int

const (
	notRead kind = iota
	around       // that of a multipart
	text
	markup // HTML
)

// kindOf goes by the media types, and where these say nothing by the file names.
func kindOf(p *mail.Part) kind {
	switch {
	case p.Form == mail.Multipart:
		return around
	case p.Form == mail.Message: // it is walked through
		return notRead
	case p.IsA("text/html", "application/xhtml+xml"):
		return markup
	case p.IsText(), p.IsA("application/csv"), slices.ContainsFunc(p.FileNames(), isTextFile):
		return text
	}
	return notRead
}

func isTextFile(name string) bool {
	return strings.HasSuffix(name, ".csv") || strings.HasSuffix(name, ".txt") || strings.HasSuffix(name, ".vcf")
}

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
