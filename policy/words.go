package policy

import (
	"bytes"
	"encoding/base64"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
)

var encodedWordStart = []byte("=?")

// An encodedWord is one =?charset?encoding?text?= (RFC 2047 section 2) in a
// field's value: value[start:end] is all of it.
type encodedWord struct {
	start, end int
	charset    string
	encoding   byte // 'q' or 'b'
	text       []byte
	textStart  int
}

// nextWord finds the first encoded word in value from pos on. It is lenient,
// as mail clients are: the text may hold blanks, and any length will do.
func nextWord(value []byte, pos int) (encodedWord, bool) {
	for {
		n := bytes.Index(value[pos:], encodedWordStart)
		if n < 0 {
			return encodedWord{}, false
		}
		start := pos + n
		pos = start + 2
		n = bytes.IndexAny(value[pos:], "? \t\r\n\"<>@,;()")
		if n <= 0 || value[pos+n] != '?' || pos+n+2 >= len(value) || value[pos+n+2] != '?' {
			continue
		}
		w := encodedWord{start: start, charset: string(value[pos : pos+n]), encoding: value[pos+n+1] | 0x20, textStart: pos + n + 3}
		if w.encoding != 'q' && w.encoding != 'b' {
			continue
		}
		if n = bytes.Index(value[w.textStart:], []byte("?=")); n < 0 {
			return encodedWord{}, false // nor does any later one end
		}
		w.text = value[w.textStart : w.textStart+n]
		w.end = w.textStart + n + 2
		w.charset, _, _ = strings.Cut(w.charset, "*") // a language (RFC 2231 section 5)
		return w, true
	}
}

// bytes returns the text without its transfer encoding, in its charset.
func (w encodedWord) bytes() []byte {
	if w.encoding == 'b' {
		return decodeBase64(w.text)
	}
	out := make([]byte, 0, len(w.text))
	for i := 0; i < len(w.text); {
		c, size := decodeQ(w.text[i:])
		out = append(out, c)
		i += size
	}
	return out
}

// decodeQ decodes the first byte of a Q text (RFC 2047 section 4.2) and says
// how many bytes it was written in.
func decodeQ(text []byte) (c byte, size int) {
	switch {
	case text[0] == '_':
		return ' ', 1
	case text[0] == '=' && len(text) > 2:
		hi, ok1 := unhex(text[1])
		lo, ok2 := unhex(text[2])
		if ok1 && ok2 {
			return hi<<4 | lo, 3
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

// decodeBase64 decodes what can be: characters outside the alphabet and wrong
// padding are passed over (RFC 2045 section 6.8).
func decodeBase64(text []byte) []byte {
	clean := make([]byte, 0, len(text))
	for _, c := range text {
		if c == '+' || c == '/' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' {
			clean = append(clean, c)
		}
	}
	if len(clean)%4 == 1 {
		clean = clean[:len(clean)-1]
	}
	out := make([]byte, base64.RawStdEncoding.DecodedLen(len(clean)))
	n, _ := base64.RawStdEncoding.Decode(out, clean)
	return out[:n]
}

// decodeWords returns value with its encoded words in UTF-8. White space
// between two of them goes, and those of one charset are decoded together,
// since some senders cut a character, or an address, in two. Where they stand
// does not matter: mail clients decode them in quoted strings and comments
// too. Characters that would open or close a quoted string, a comment or an
// angle bracket become blanks: decoded, they are text.
func decodeWords(value []byte) []byte {
	out := make([]byte, 0, len(value))
	pos := 0
	for pos < len(value) {
		w, ok := nextWord(value, pos)
		if !ok {
			break
		}
		out = append(out, value[pos:w.start]...)
		raw := w.bytes()
		pos = w.end
		for {
			next, ok := nextWord(value, pos)
			if !ok || len(bytes.TrimLeft(value[pos:next.start], " \t\r\n")) > 0 {
				break
			}
			if !strings.EqualFold(next.charset, w.charset) {
				out = appendText(out, w.charset, raw)
				raw, w = nil, next
			}
			raw = append(raw, next.bytes()...)
			pos = next.end
		}
		out = appendText(out, w.charset, raw)
	}
	return append(out, value[pos:]...)
}

// appendText appends text in the given charset to dst as UTF-8. An unknown
// charset is read as US-ASCII with bytes above it left alone.
func appendText(dst []byte, charset string, text []byte) []byte {
	if enc := lookupCharset(charset); enc != nil {
		if utf8Text, err := enc.NewDecoder().Bytes(text); err == nil {
			text = utf8Text
		}
	}
	for _, c := range text {
		if t := class[c]; t == classQuote || t == classOpen || t == classAngle || c == '>' || c == ')' || c == '\\' {
			c = ' '
		}
		dst = append(dst, c)
	}
	return dst
}

// lookupCharset finds the encoding of a charset name, or nil where there is
// nothing to do or nobody knows it.
func lookupCharset(name string) encoding.Encoding {
	switch strings.ToLower(name) {
	case "utf-8", "utf8", "us-ascii", "ascii":
		return nil
	}
	if enc, err := htmlindex.Get(name); err == nil {
		return enc
	}
	if enc, err := ianaindex.MIME.Encoding(name); err == nil {
		return enc
	}
	return nil
}
