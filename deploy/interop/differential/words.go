package main

import (
	"bytes"
	"encoding/base64"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
)

// wordStart matches how an encoded word begins (RFC 2047).
var wordStart = regexp.MustCompile(`=\?([^?"<>@,;()]*)\?([bBqQ])\?`)

type encodedWord struct {
	charset   string
	encoding  byte
	start     int // in the value
	end       int
	raw, text []byte // as it is written, and decoded
}

// isBroken reports a text that its encoding does not allow.
func (w encodedWord) isBroken() bool {
	if w.encoding == 'q' {
		return bytes.ContainsAny(w.raw, " \t\r\n,;<>()\"")
	}
	return notBase64.Match(bytes.TrimRight(w.raw, "="))
}

var notBase64 = regexp.MustCompile(`[^a-zA-Z0-9+/]`)

// findWords finds the encoded words of a value. Where another word begins in the text
// of one, it is none.
func findWords(value []byte) (words []encodedWord) {
	for at := 0; ; {
		start := wordStart.FindSubmatchIndex(value[at:])
		if start == nil {
			return words
		}
		rest := value[at:]
		size := bytes.Index(rest[start[1]:], []byte("?="))
		if size < 0 {
			return words
		}
		inside := rest[start[0]+2:]
		if next := wordStart.FindIndex(inside); next != nil && start[0]+2+next[0] < start[1]+size && bytes.Contains(inside[next[1]:], []byte("?=")) {
			at += start[0] + 2
			continue
		}
		w := encodedWord{start: at + start[0], end: at + start[1] + size + 2, charset: string(rest[start[2]:start[3]]), encoding: rest[start[4]] | 0x20, raw: rest[start[1] : start[1]+size]}
		w.text = decodedWord(w.encoding, w.raw)
		words = append(words, w)
		at = w.end
	}
}

// eachWord puts something in place of the encoded words of a value.
func eachWord(value []byte, instead func(encodedWord) []byte) (out []byte) {
	last := 0
	for _, w := range findWords(value) {
		out = append(append(out, value[last:w.start]...), instead(w)...)
		last = w.end
	}
	return append(out, value[last:]...)
}

// inWords mends the encoded words of a value, by their charsets and what they are in
// bytes. Those that are mended are in Q from there on.
func inWords(value []byte, mend func(charset string, text []byte) (string, []byte)) []byte {
	return eachWord(value, func(w encodedWord) []byte {
		if w.isBroken() { // mail clients show it as it is, or what can be decoded
			charset, _ := mend(w.charset, nil)
			w.charset = charset
			_, w.raw = mend("", w.raw)
			if _, text := mend(w.charset, w.text); !bytes.Equal(text, w.text) {
				return specials.ReplaceAll(bytes.Join([][]byte{w.raw, text}, []byte(" ")), []byte(" "))
			}
		} else if charset, text := mend(w.charset, w.text); charset != w.charset || !bytes.Equal(text, w.text) {
			return inQ(charset, text)
		}
		return slices.Concat([]byte("=?"+w.charset+"?"), []byte{w.encoding, '?'}, w.raw, []byte("?="))
	})
}

func inQ(charset string, text []byte) []byte {
	out := []byte("=?" + charset + "?Q?")
	for _, c := range text {
		switch {
		case c == ' ':
			out = append(out, '_')
		case c == '.', c == '-', '0' <= c && c <= '9', 'a' <= c|0x20 && c|0x20 <= 'z':
			out = append(out, c)
		default:
			out = append(out, '=', "0123456789ABCDEF"[c>>4], "0123456789ABCDEF"[c&15])
		}
	}
	return append(out, "?="...)
}

func decodedWord(encoding byte, text []byte) []byte {
	if encoding == 'b' {
		return decodedBase64(text)
	}
	return hexByte.ReplaceAllFunc(bytes.ReplaceAll(text, []byte("_"), []byte(" ")), unhex)
}

var hexByte = regexp.MustCompile(`=[0-9a-fA-F]{2}`)

func unhex(code []byte) []byte {
	digit := func(c byte) byte {
		if c > '9' {
			return c&7 + 9
		}
		return c & 15
	}
	return []byte{digit(code[1])<<4 | digit(code[2])}
}

// decodedBase64 passes over what is none, and begins anew behind padding.
func decodedBase64(text []byte) (out []byte) {
	var group []byte
	flush := func() {
		if len(group) > 1 {
			out, _ = base64.RawStdEncoding.AppendDecode(out, group)
		}
		group = group[:0]
	}
	for _, c := range text {
		if !notBase64.Match([]byte{c}) {
			group = append(group, c)
		}
		if len(group) == 4 || c == '=' {
			flush()
		}
	}
	flush()
	return out
}

// withoutWords decodes encoded words. Those that stand beside each other are read in
// one piece, too; what is special in a header becomes a blank.
func withoutWords(value []byte) (out []byte) {
	value = betweenWords.ReplaceAll(value, []byte("$1$2"))
	last := 0
	var r run
	for _, w := range findWords(value) {
		if !r.goesOnWith(w) {
			out = append(r.appendTo(out), value[last:w.start]...)
			r = run{}
		}
		if w.isBroken() { // mail clients show it as it is written
			out = append(append(out, specials.ReplaceAll(w.raw, []byte(" "))...), ' ')
		}
		if w.isBroken() && w.encoding == 'b' {
			text := w.decoded(decodedBase64(bytes.ReplaceAll(w.raw, []byte("="), nil)))
			out = append(append(out, specials.ReplaceAll(text, []byte(" "))...), ' ')
		}
		r.words = append(r.words, w)
		last = w.end
	}
	return append(r.appendTo(out), value[last:]...)
}

// A run is words of one charset that stand beside each other.
type run struct{ words []encodedWord }

func (r run) goesOnWith(w encodedWord) bool {
	if len(r.words) == 0 {
		return false
	}
	last := r.words[len(r.words)-1]
	return w.start == last.end && strings.EqualFold(strings.TrimSpace(w.charset), strings.TrimSpace(last.charset))
}

// appendTo appends what the words say one by one, and what they say as one, if that
// is another thing.
func (r run) appendTo(out []byte) []byte {
	var apart, raw, text []byte
	oneEncoding := true
	for _, w := range r.words {
		apart, raw, text = append(apart, w.decoded(w.text)...), append(raw, w.raw...), append(text, w.text...)
		oneEncoding = oneEncoding && w.encoding == r.words[0].encoding
	}
	out = append(out, specials.ReplaceAll(apart, []byte(" "))...)
	if len(r.words) < 2 {
		return out
	}
	if together := r.words[0].decoded(text); !bytes.Equal(together, apart) {
		out = append(append(out, ' '), specials.ReplaceAll(together, []byte(" "))...)
	}
	if cut := decodedWord(r.words[0].encoding, raw); oneEncoding && !bytes.Equal(cut, text) {
		out = append(append(out, ' '), specials.ReplaceAll(r.words[0].decoded(cut), []byte(" "))...)
	}
	return out
}

// decoded returns text in UTF-8: that of UTF-7 and UTF-16 in each way it may be read.
func (w encodedWord) decoded(text []byte) []byte {
	name := strings.ToLower(strings.TrimSpace(w.charset))
	switch {
	case utf7Name.MatchString("charset=" + name):
		return bytes.Join([][]byte{decodedUTF7(text), text}, []byte(" "))
	case strings.HasPrefix(name, "utf-16") || name == "utf16":
		big, _ := unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewDecoder().Bytes(text)
		little, _ := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewDecoder().Bytes(text)
		if bytes.IndexByte(text, 0) >= 0 {
			text = nil
		}
		return bytes.Join([][]byte{big, little, text}, []byte(" "))
	}
	if enc, err := htmlindex.Get(name); err == nil && enc != encoding.Replacement && enc != unicode.UTF8 {
		if decoded, err := enc.NewDecoder().Bytes(text); err == nil {
			return decoded
		}
	}
	return text
}

// betweenWords matches blanks between two encoded words, which are not shown.
var betweenWords = regexp.MustCompile(`(\?=)[ \t\r\n]+(=\?[^?"<>@,;()]*\?[bBqQ]\?)`)

var specials = regexp.MustCompile(`["()<>\\]`)
