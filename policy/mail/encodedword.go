package mail

import (
	"bytes"
	"slices"
	"strings"
)

var EncodedWordStart = []byte("=?")

// An EncodedWord is one =?charset?encoding?text?= (RFC 2047 section 2) in a
// field's value: value[start:end] is all of it.
type EncodedWord struct {
	Start, End int
	charset    string
	Encoding   byte // 'q' or 'b'
	Text       []byte
	TextStart  int
}

// NextWord finds the first encoded word in value from pos on. It is lenient,
// as mail clients are: the text may hold blanks, and any length will do. What
// looks like the start of a word and has another start in its text is none.
func NextWord(value []byte, pos int) (w EncodedWord, found bool) {
	end := -1 // of the text, the same for all starts before it
	for {
		n := bytes.Index(value[pos:], EncodedWordStart)
		if n < 0 || found && pos+n >= end {
			return w, found
		}
		start := pos + n
		pos = start + 2
		n = bytes.IndexAny(value[pos:], "?\"<>@,;()")
		if n < 0 || value[pos+n] != '?' || pos+n+2 >= len(value) || value[pos+n+2] != '?' {
			continue
		}
		encoding, textStart := value[pos+n+1]|0x20, pos+n+3
		if encoding != 'q' && encoding != 'b' {
			continue
		}
		if end < textStart { // the "?=" of =?utf-8?q?=41 ends no text
			next := bytes.Index(value[textStart:], []byte("?="))
			if next < 0 {
				return w, found // nor does any later one end
			}
			end = textStart + next
		}
		charset, _, _ := strings.Cut(string(value[pos:pos+n]), "*") // a language (RFC 2231 section 5)
		w, found = EncodedWord{start, end + 2, strings.TrimSpace(charset), encoding, value[textStart:end], textStart}, true
		pos = textStart
	}
}

// Bytes returns the text without its transfer encoding, in its charset.
func (w EncodedWord) Bytes() []byte {
	if w.Encoding == 'b' {
		return decodeBase64(w.Text)
	}
	return decodeQText(w.Text)
}

// isBroken reports a word whose text its encoding does not allow. Mail clients
// show such a word as it is written.
func (w EncodedWord) isBroken() bool {
	if w.Encoding == 'q' {
		return bytes.ContainsAny(w.Text, " \t\r\n,;<>()\"")
	}
	return bytes.ContainsFunc(bytes.TrimRight(w.Text, "="), func(r rune) bool { return !isBase64(r) })
}

func decodeQText(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		c, size := DecodeQ(text[i:])
		out = append(out, c)
		i += size
	}
	return out
}

// DecodeQ decodes the first byte of a Q text (RFC 2047 section 4.2) and says
// how many bytes it was written in.
func DecodeQ(text []byte) (c byte, size int) {
	switch {
	case text[0] == '_':
		return ' ', 1
	case text[0] == '=':
		if c, ok := encodedByte(text); ok {
			return c, 3
		}
	}
	return text[0], 1
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

func isBase64(r rune) bool {
	return r == '+' || r == '/' || '0' <= r && r <= '9' || 'a' <= r|0x20 && r|0x20 <= 'z'
}

// decodeBase64 decodes what can be: characters outside the alphabet are passed
// over (RFC 2045 section 6.8), and what follows padding begins anew.
func decodeBase64(text []byte) []byte {
	var out closingBuffer
	d := base64Decoder{to: &out}
	d.Write(text)
	d.Close()
	return out.Bytes()
}

// decodeWords returns value with its encoded words in UTF-8. White space
// between two of them goes. Those of one charset are decoded together, since
// some senders cut a character, or an address, or what is written for a byte, in
// two; what says another thing than the rest is in the result, too. Where they stand
// does not matter: mail clients decode them in quoted strings and comments
// too. Characters that would open or close a quoted string, a comment or an
// angle bracket become blanks: decoded, they are text.
func decodeWords(value []byte) []byte {
	out := make([]byte, 0, len(value))
	pos := 0
	for pos < len(value) {
		w, ok := NextWord(value, pos)
		if !ok {
			break
		}
		out = append(out, value[pos:w.Start]...)
		all := EncodedWord{Encoding: w.Encoding, Text: slices.Clip(w.Text)}
		words, oneEncoding := 1, true
		joined := w.Bytes()
		apart := appendText(nil, w.charset, joined)
		for {
			if w.isBroken() {
				out = append(appendPlain(out, w.Text), ' ')
				if w.Encoding == 'b' { // an = further in is passed over, too
					out = append(appendText(out, w.charset, decodeBase64(bytes.ReplaceAll(w.Text, []byte("="), nil))), ' ')
				}
			}
			pos = w.End
			next, ok := NextWord(value, pos)
			if !ok || !w.continuedBy(next, value[pos:next.Start]) {
				break
			}
			w = next
			words++
			oneEncoding = oneEncoding && w.Encoding == all.Encoding
			all.Text = append(all.Text, w.Text...)
			joined = append(joined, w.Bytes()...)
			apart = appendText(apart, w.charset, w.Bytes())
		}
		out = append(out, apart...)
		if words > 1 {
			if together := appendText(nil, w.charset, joined); !bytes.Equal(together, apart) {
				out = append(append(out, ' '), together...)
			}
			if cut := all.Bytes(); oneEncoding && !bytes.Equal(cut, joined) {
				out = appendText(append(out, ' '), w.charset, cut)
			}
		}
		pos += blanksBeforeWord(value[pos:])
	}
	return append(out, value[pos:]...)
}

// continuedBy reports whether the text of w goes on in the word next.
func (w EncodedWord) continuedBy(next EncodedWord, between []byte) bool {
	return len(bytes.TrimLeft(between, " \t\r\n")) == 0 && strings.EqualFold(next.charset, w.charset)
}

// blanksBeforeWord returns how much white space stands before an encoded word
// that follows another one: it is not part of the text.
func blanksBeforeWord(rest []byte) int {
	word := bytes.TrimLeft(rest, " \t\r\n")
	if bytes.HasPrefix(word, EncodedWordStart) {
		if w, ok := NextWord(word, 0); ok && w.Start == 0 {
			return len(rest) - len(word)
		}
	}
	return 0
}
