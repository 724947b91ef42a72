package mail

import (
	"bytes"
)

// ScanAddresses calls emit for everything in the value of a header field that
// a mail client could show as an address: whatever reads as local@domain.
// Local part and domain come as they were written; see NormalLocal and
// NormalDomain. It does not depend on the address list being well formed, and
// reads each byte a bounded number of times.
//
// The grammar of RFC 5322 (section 3.4 and the obsolete forms of 4.4) decides
// only what belongs to one address: a quoted string before an @ is its local
// part, white space and comments may stand round the @ and the dots, and in
// angle brackets all before the @ is the local part. What else a quoted string
// or a comment holds is read as plain text, since the recipients read it too.
//
// One place in the text is one address. Where it has two readings, the one that
// takes more to be a part of it counts, unless it is a part of a name.
func ScanAddresses(value []byte, emit func(local, domain []byte)) {
	value = decodeShifts(value)
	if bytes.Contains(value, EncodedWordStart) {
		value = decodeWords(value)
	}
	s := scanner{v: narrowed(value), emit: emit}
	s.run()
}

// A scanner walks over one value. What may become a local part is its word,
// v[start:end]; it stays one over white space and comments, since these may
// come before the @.
type scanner struct {
	v    []byte
	emit func(local, domain []byte)

	// text: plain text out of a quoted string or a comment. There quotes and
	// comments do not nest, and "Ann @ Acme" is a name.
	text bool

	start, end int  // the word; there is none where start is end
	last       int  // where its last piece without white space starts
	gap        bool // white space or a comment came after the word

	angle angle // whether we are in angle brackets

	// An address that reads in another way, or is none, where it is a part of a
	// name. It waits for the angle bracket that may follow.
	pending struct{ address, inName found }

	routeEnd int // of the domain after an @ without a local part

	// unread is what a quoted string holds that may be a local part. If it turns
	// out to be none, or a part of a name, its content counts.
	unread []byte

	noQuote   bool // no closing one is left: they are plain characters
	openCount int  // comments that do not end
}

// A found address, as it is written. The zero value is none.
type found struct{ local, domain []byte }

// An angle says whether we are in angle brackets: what opens and is never
// closed is none.
type angle uint8

const (
	noAngle     angle = iota
	openAngle         // where it closes was not looked for yet
	closedAngle       // it does
)

// inAngle reports whether the place i is in angle brackets.
func (s *scanner) inAngle(i int) bool {
	if s.angle == openAngle {
		s.angle = noAngle
		if n := bytes.IndexAny(s.v[i:], "<>"); n >= 0 && s.v[i+n] == '>' {
			s.angle = closedAngle
		}
	}
	return s.angle == closedAngle
}

// MaxOpenComments is how many times the end of a comment is looked for in vain.
// After that, parentheses are plain characters: else time would be quadratic.
const MaxOpenComments = 8

// Classes of bytes. What is not listed is part of a word.
const (
	classWord = iota
	ClassSpace
	classQuote
	classOpen
	classAt
	classSeparator // , ; : and the end of an angle bracket or a comment
	classAngle
)

var Class = func() (t [256]byte) {
	for _, c := range " \t\r\n" {
		t[c] = ClassSpace
	}
	for _, c := range ",;:>)" {
		t[c] = classSeparator
	}
	t['"'], t['('], t['@'], t['<'] = classQuote, classOpen, classAt, classAngle
	return t
}()

func (s *scanner) run() {
	for i := 0; i < len(s.v); {
		switch Class[s.v[i]] {
		case classWord:
			i = s.word(i)
		case ClassSpace:
			s.gap = true
			i++
		case classQuote:
			i = s.quoted(i)
		case classOpen:
			i = s.comment(i)
		case classAt:
			i = s.at(i)
		case classAngle:
			if !s.keepsWord(i) {
				if s.pending.address.local != nil { // it was in the name before <…>
					s.pending.address = s.pending.inName
					s.flush()
				}
				s.read()
				s.clear(i + 1)
			}
			if !s.text {
				s.angle = openAngle
			}
			i++
		default:
			if s.start == s.end || !s.keepsWord(i) {
				s.flush()
				s.unread = nil
				s.clear(i + 1)
			}
			if s.v[i] == '>' {
				s.angle = noAngle
			}
			i++
		}
	}
	s.flush()
}

// read reads what a quoted string holds that is no local part.
func (s *scanner) read() {
	if s.unread != nil {
		s.scanText(s.unread)
		s.unread = nil
	}
}

func (s *scanner) clear(i int) { s.start, s.end, s.gap = i, i, false }

// flush emits the address that waits for what follows.
func (s *scanner) flush() {
	if s.pending.address.local != nil {
		s.emitPending()
	}
}

func (s *scanner) emitPending() {
	a := s.pending.address
	s.pending.address.local = nil
	s.emit(a.local, a.domain)
}

// word takes a run of word characters from i on. It goes on with the word
// before it where nothing is between them, in angle brackets, or where a dot
// joins them over white space (obs-local-part, RFC 5322 section 4.4).
func (s *scanner) word(i int) int {
	if s.start == s.end {
		s.start, s.last = i, i
	} else if s.gap {
		s.join(i, !s.text && (s.v[i] == '.' || s.v[s.end-1] == '.'))
	}
	v := s.v
	for i++; i < len(v) && Class[v[i]] == classWord; i++ {
	}
	s.end, s.gap = i, false
	return i
}

// join makes what begins at i a part of the word, where there is one to go on
// with and, if there is a gap, over says that it may be passed over.
func (s *scanner) join(i int, over bool) {
	switch {
	case s.start == s.end, s.gap && !over && !s.inAngle(i):
		s.start, s.last = i, i
	case s.gap:
		s.last = i
	}
}

// quoted takes a quoted string from i on: it may be (part of) a local part.
// Where no @ follows, its content is read as text.
func (s *scanner) quoted(i int) int {
	if s.text {
		s.clear(i + 1)
		if i+1 < len(s.v) && s.v[i+1] == '@' { // ("a b"@x)
			s.start, s.end = max(bytes.LastIndexByte(s.v[:i], '"'), 0), i+1
			s.last = s.start
		}
		return i + 1
	}
	if s.keepsWord(i) { // ann"@example.org, whatever closes further on
		return i + 1
	}
	end, ok := i, false
	if !s.noQuote {
		end, ok = Closing(s.v, i)
	}
	if !ok {
		s.noQuote = true
		s.clear(i + 1)
		return i + 1
	}
	if end < len(s.v) && s.v[end] == '@' {
		s.unread = s.v[i+1 : end-1]
	} else {
		s.scanText(s.v[i+1 : end-1])
	}
	s.join(i, s.start < s.end && s.v[s.end-1] == '.')
	s.end, s.gap = end, false
	return end
}

// comment takes a comment from i on, or the parenthesis alone where it is
// never closed. The word stays: a comment may come before the @.
func (s *scanner) comment(i int) int {
	if s.keepsWord(i) { // ann(@example.org, whatever closes further on
		return i + 1
	}
	end, ok := s.closeComment(i)
	if !ok {
		s.flush()
		s.clear(i + 1)
		return i + 1
	}
	s.scanText(s.v[i+1 : end-1])
	if s.start == s.end && end < len(s.v) && s.v[end] == '@' { // (ann)@example.org
		s.start, s.last, s.end = i+1, i+1, end-1
		return end
	}
	s.gap = true
	return end
}

// scanText reads what a quoted string or a comment holds.
func (s *scanner) scanText(text []byte) {
	if bytes.IndexByte(text, '@') < 0 {
		return
	}
	if bytes.IndexByte(text, '\\') >= 0 {
		text = unescape(text)
	}
	inner := scanner{v: text, emit: s.emit, text: true}
	inner.run()
}

// at takes an @ and the domain after it. With a word before it, that is an
// address. The domain may be the next word: a@b@c shows two.
func (s *scanner) at(i int) int {
	s.flush()
	if i+1 < len(s.v) && s.v[i+1] == '@' { // "ann@"@example.org, its quotes lost
		s.read()
		return s.word(i)
	}
	if s.start == s.end {
		s.clear(i + 1)
		s.routeEnd = s.atoms(s.skipCFWS(i + 1))
		return i + 1
	}
	from := s.skipStray(i + 1)
	end, short := s.domain(from)
	if end == from && s.unread == nil && s.isWrongMark(i+1) {
		from = i + 2
		end, short = s.domain(from)
	}
	if end == from {
		s.read()
		s.clear(i + 1)
		return i + 1
	}
	if s.v[i-1] > 0x80 && s.end == i && isSecondByte(s.v[s.last:i], s.v[from:end]) {
		return s.word(i)
	}
	s.found(i, from, short, end)
	s.clear(end)
	if end < len(s.v) && s.v[end] == '@' {
		s.start, s.last = from, from
	}
	return end
}

// found takes the address that has its @ at i, and its domain at v[from:end],
// or, in a name, at v[from:short].
func (s *scanner) found(i, from, short, end int) {
	a := found{s.unwrap(s.v[s.start:s.end], end), s.v[from:end]}
	switch spaced := s.gap || from > i+1; {
	case spaced && !bytes.ContainsAny(a.domain, ".["): // "Ann @ Acme <ann@acme.example>"
		if !s.text {
			s.pending.address, s.pending.inName = a, found{}
		}
	case short == end && s.last == s.start || s.inAngle(i):
		s.emit(a.local, a.domain)
	default:
		s.pending.address = a
		s.pending.inName = found{s.unwrap(s.v[s.last:s.end], short), s.v[from:short]}
	}
}

// unwrap takes quote marks and brackets off the front of a local part where
// the ones that belong to them follow the address, which ends at end: Outlook
// writes 'ann@example.org'.
func (s *scanner) unwrap(local []byte, end int) []byte {
	for end < len(s.v) && Class[s.v[end]] == ClassSpace {
		end++
	}
	if end == len(s.v) {
		return local
	}
	var opening string
	switch s.v[end] {
	case '\'':
		opening = "'"
	case ']':
		opening = "["
	case '}':
		opening = "{"
	case '`':
		opening = "`"
	}
	if bare := bytes.TrimLeft(local, opening); len(bare) > 0 {
		return bare
	}
	return local
}
