package policy

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strconv"

	"sendguard/policy/mail"
)

// A subject is the value of a Subject field as it reads, unfolded and with its
// encoded words taken apart, each byte with its place in the raw value.
type subject struct {
	value  []byte
	text   []byte // in the charsets of its encoded words; the tag is US-ASCII in all of them
	places []place
	words  []mail.EncodedWord
}

// A place is where a byte of the text was written: value[start:end], or, where
// its encoded word has the B encoding, somewhere in that word.
type place struct {
	start, end int
	word       int // in words, or -1 for raw text
}

func parseSubject(value []byte) subject {
	s := subject{value: value}
	pos := 0
	for {
		w, ok := mail.NextWord(value, pos)
		if !ok {
			break
		}
		if between := value[pos:w.Start]; len(s.words) == 0 || len(bytes.TrimLeft(between, " \t\r\n")) > 0 {
			s.raw(pos, w.Start)
		}
		s.words = append(s.words, w)
		s.word(len(s.words) - 1)
		pos = w.End
	}
	s.raw(pos, len(value))
	return s
}

func (s *subject) raw(start, end int) {
	for i := start; i < end; i++ {
		if s.value[i] != '\r' && s.value[i] != '\n' { // unfolding, RFC 5322 section 2.2.3
			s.text = append(s.text, s.value[i])
			s.places = append(s.places, place{i, i + 1, -1})
		}
	}
}

func (s *subject) word(n int) {
	w := s.words[n]
	if w.Encoding == 'b' {
		for _, c := range w.Bytes() {
			s.text = append(s.text, c)
			s.places = append(s.places, place{w.Start, w.End, n})
		}
		return
	}
	for i := 0; i < len(w.Text); {
		c, size := mail.DecodeQ(w.Text[i:])
		s.text = append(s.text, c)
		s.places = append(s.places, place{w.TextStart + i, w.TextStart + i + size, n})
		i += size
	}
}

// A tag is one override tag: text[start:end] says [show number].
type tag struct{ start, end, number int }

func (s *subject) tags() (found []tag) {
	for i := 0; i < len(s.text); {
		n := bytes.IndexByte(s.text[i:], '[')
		if n < 0 {
			break
		}
		i += n
		length, number := parseTag(s.text[i:])
		if length > 0 {
			found = append(found, tag{i, i + length, number})
		}
		i += max(length, 1)
	}
	return found
}

// maxTags is how many equal tags are taken out. Nobody needs a second one; with
// no limit, time would be quadratic.
const maxTags = 4

// withoutTags returns the value of a Subject without the tags that say number,
// and without one of the blanks round each. Of the rest only the encoded words
// they stand in change.
func withoutTags(value []byte, number int) []byte {
	for range maxTags {
		s := parseSubject(value)
		tags := s.tags()
		i := slices.IndexFunc(tags, func(t tag) bool { return t.number == number })
		if i < 0 {
			break
		}
		s.takeBlank(&tags[i])
		shorter := rewrite(value, s.cuts(tags[i]))
		if !isFolded(shorter) {
			break
		}
		value = shorter
	}
	return value
}

// isFolded reports whether a value is that of one field: each of its lines but
// the first begins with a blank.
func isFolded(value []byte) bool {
	for i, line := range bytes.Split(bytes.TrimSuffix(value, mail.CRLF), mail.CRLF) {
		if i > 0 && (len(line) == 0 || !mail.IsBlank(line[0])) {
			return false
		}
	}
	return true
}

// takeBlank makes a tag with blanks on both sides take one of them along. A
// blank that begins a folded line must stay, and one that separates an encoded
// word from text (RFC 2047 section 5).
func (s *subject) takeBlank(t *tag) {
	before, after := t.start-1, t.end
	if before >= 0 && !mail.IsBlank(s.text[before]) || after < len(s.text) && !mail.IsBlank(s.text[after]) {
		return
	}
	switch {
	case after < len(s.text) && s.removable(after, after+1, *t):
		t.end++
	case before >= 0 && s.removable(before, before-1, *t):
		t.start--
	}
}

// removable reports whether the blank text[i] can go with a tag; beyond is the
// place on its other side.
func (s *subject) removable(i, beyond int, t tag) bool {
	p := s.places[i]
	if p.word >= 0 {
		return true
	}
	if p.start > 0 && s.value[p.start-1] == '\n' {
		return false
	}
	if t.start <= 1 || t.end >= len(s.text)-1 { // nothing to separate
		return true
	}
	return !s.inWordThatStays(beyond, t) && !s.inWordThatStays(t.start, t) && !s.inWordThatStays(t.end-1, t)
}

// inWordThatStays reports whether text[i] stands in an encoded word that has
// more text than the tag.
func (s *subject) inWordThatStays(i int, t tag) bool {
	if i < 0 || i >= len(s.text) || s.places[i].word < 0 {
		return false
	}
	first, last := s.wordSpan(i)
	return first < t.start || last > t.end
}

// wordSpan returns which part of the text is written where text[i] is: in the
// same encoded word, or in the same run of raw text.
func (s *subject) wordSpan(i int) (first, last int) {
	first, last = i, i+1
	for first > 0 && s.places[first-1].word == s.places[i].word {
		first--
	}
	for last < len(s.text) && s.places[last].word == s.places[i].word {
		last++
	}
	return first, last
}

// cuts takes text[t.start:t.end] out of the value: raw text and Q words lose
// the bytes themselves, B words are encoded again, and a word that has no other
// text goes. A folded line that has nothing else goes with its line end.
func (s *subject) cuts(t tag) (cuts []cut) {
	for i := t.start; i < t.end; {
		first, last := s.wordSpan(i)
		end := min(last, t.end)
		c := cut{start: s.places[i].start, end: s.places[end-1].end}
		if n := s.places[i].word; n >= 0 {
			switch w := s.words[n]; {
			case first == i && last == end:
				c = cut{start: w.Start, end: w.End}
			case w.Encoding == 'b':
				left := append(bytes.Clone(s.text[first:i]), s.text[end:last]...)
				c = cut{start: w.TextStart, end: w.End - 2, with: base64.StdEncoding.AppendEncode(nil, left)}
			}
		}
		if n := len(cuts) - 1; n >= 0 && joined(cuts[n], c) {
			cuts[n].end = c.end
		} else {
			cuts = append(cuts, c)
		}
		i = end
	}
	for i := range cuts {
		s.takeLine(&cuts[i])
	}
	return cuts
}

// joined reports whether nothing is left between two cuts that take all.
func joined(a, b cut) bool { return a.end == b.start && len(a.with)+len(b.with) == 0 }

// takeLine makes a cut that leaves a folded line blank take the line along.
// Some programs take such a line for the end of the header.
func (s *subject) takeLine(c *cut) {
	start := bytes.LastIndexByte(s.value[:c.start], '\n') - 1 // of the CRLF before
	end := len(s.value)
	if n := bytes.IndexByte(s.value[c.end:], '\r'); n >= 0 {
		end = c.end + n
	}
	if start >= 0 && len(c.with) == 0 && len(bytes.TrimSpace(s.value[start:c.start])) == 0 && len(bytes.TrimSpace(s.value[c.end:end])) == 0 {
		c.start, c.end = start, end
	}
}

// parseTag reads an override tag at the start of text and returns its length
// and number. The length is 0 where there is none.
func parseTag(text []byte) (length, number int) {
	i := skipBlanks(text, 1)
	if text[0] != '[' || len(text) < i+len(overrideTag) || !bytes.EqualFold(text[i:i+len(overrideTag)], []byte(overrideTag)) {
		return 0, 0
	}
	i = skipBlanks(text, i+len(overrideTag))
	digits := i
	for i < len(text) && '0' <= text[i] && text[i] <= '9' {
		i++
	}
	number, err := strconv.Atoi(string(text[digits:i]))
	i = skipBlanks(text, i)
	if err != nil || i == len(text) || text[i] != ']' {
		return 0, 0
	}
	return i + 1, number
}

// overrideTag is what a sender puts into the Subject to send anyway: [show N],
// in any letter case and with blanks anywhere but in the words.
const overrideTag = "show"

// skipBlanks returns the place after the blanks at i. A no-break space is one,
// in ISO 8859-1 or UTF-8: some mail clients write it for a blank.
func skipBlanks(text []byte, i int) int {
	for i < len(text) {
		switch {
		case mail.IsBlank(text[i]), text[i] == 0xa0:
			i++
		case text[i] == 0xc2 && i+1 < len(text) && text[i+1] == 0xa0:
			i += 2
		default:
			return i
		}
	}
	return i
}
