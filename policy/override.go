package policy

import (
	"bytes"
	"encoding/base64"
	"regexp"
	"strconv"
)

// overrideTag is what a sender puts into the Subject to send anyway: [show N],
// in any letter case and with blanks anywhere. A no-break space (in ISO 8859-1
// or UTF-8) is one too: some mail clients write it for a blank.
var overrideTag = regexp.MustCompile(`(?i)\[(?:\s|\xc2?\xa0)*show(?:\s|\xc2?\xa0)*([0-9]{1,9})(?:\s|\xc2?\xa0)*\]`)

// A subject is the value of a Subject field as it reads, unfolded and with its
// encoded words taken apart, each byte with its place in the raw value.
type subject struct {
	value  []byte
	text   []byte // in the charsets of its encoded words; the tag is US-ASCII in all of them
	places []place
	words  []encodedWord
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
		w, ok := nextWord(value, pos)
		if !ok {
			break
		}
		if between := value[pos:w.start]; len(s.words) == 0 || len(bytes.TrimLeft(between, " \t\r\n")) > 0 {
			s.raw(pos, w.start)
		}
		s.words = append(s.words, w)
		s.word(len(s.words) - 1)
		pos = w.end
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
	if w.encoding == 'b' {
		for _, c := range w.bytes() {
			s.text = append(s.text, c)
			s.places = append(s.places, place{w.start, w.end, n})
		}
		return
	}
	for i := 0; i < len(w.text); {
		c, size := decodeQ(w.text[i:])
		s.text = append(s.text, c)
		s.places = append(s.places, place{w.textStart + i, w.textStart + i + size, n})
		i += size
	}
}

// A tag is one override tag: text[start:end] says [show number].
type tag struct{ start, end, number int }

func (s *subject) tags() (found []tag) {
	for _, m := range overrideTag.FindAllSubmatchIndex(s.text, -1) {
		n, err := strconv.Atoi(string(s.text[m[2]:m[3]]))
		if err == nil {
			found = append(found, tag{m[0], m[1], n})
		}
	}
	return found
}

// without returns the value without the tags that say number, and without one
// blank beside each. Of the rest only the encoded words they stand in change.
func (s *subject) without(number int) []byte {
	gone := make([]bool, len(s.text))
	for _, t := range s.tags() {
		if t.number != number {
			continue
		}
		if t.end < len(s.text) && isBlank(s.text[t.end]) {
			t.end++
		} else if t.start > 0 && isBlank(s.text[t.start-1]) {
			t.start--
		}
		for i := t.start; i < t.end; i++ {
			gone[i] = true
		}
	}
	return tidyFolds(rewrite(s.value, s.cuts(gone)))
}

// cuts turns the bytes of the text that are to go into cuts of the value: the
// place itself in raw text and Q words, the word encoded again in B words, and
// the whole word where nothing of it is left.
func (s *subject) cuts(gone []bool) (cuts []cut) {
	for i := 0; i < len(gone); {
		word := s.places[i].word
		first, left := i, []byte(nil)
		for i < len(gone) && s.places[i].word == word {
			if !gone[i] {
				left = append(left, s.text[i])
			}
			i++
		}
		if len(left) == i-first {
			continue
		}
		switch {
		case word >= 0 && len(left) == 0:
			cuts = append(cuts, cut{s.words[word].start, s.words[word].end, nil})
		case word >= 0 && s.words[word].encoding == 'b':
			w := s.words[word]
			cuts = append(cuts, cut{w.textStart, w.end - 2, base64.StdEncoding.AppendEncode(nil, left)})
		default:
			for k := first; k < i; k++ {
				if gone[k] {
					cuts = append(cuts, cut{s.places[k].start, s.places[k].end, nil})
				}
			}
		}
	}
	return cuts
}

// tidyFolds takes folded lines out that have become blank: some programs take
// such a line for the end of the header.
func tidyFolds(value []byte) []byte {
	out := make([]byte, 0, len(value))
	for i, line := range bytes.SplitAfter(value, crlf) {
		if i == 0 || len(bytes.TrimSpace(line)) > 0 {
			out = append(out, line...)
		}
	}
	return out
}

// override looks for the tag with the wanted number in the Subjects of h.
// Where there are only others, wrong is the first of their numbers; it is -1
// where there is none. Where there is the wanted one, the cuts take it out.
func (h *header) override(wanted int) (found bool, wrong int, cuts []cut) {
	wrong = -1
	for _, f := range h.fields {
		if f.kind != kindSubject {
			continue
		}
		s := parseSubject(h.body(f))
		here := false
		for _, t := range s.tags() {
			if t.number == wanted {
				here = true
			} else if wrong < 0 {
				wrong = t.number
			}
		}
		if here {
			found = true
			cuts = append(cuts, cut{f.value, f.end, s.without(wanted)})
		}
	}
	return found, wrong, cuts
}
