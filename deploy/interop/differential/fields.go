package main

import (
	"bytes"
	"encoding/base64"
	"html"
	"io"
	"mime/quotedprintable"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
)

// fieldStart matches the name of a field, and addressField that of one that shows
// addresses, in a header and in what is one further down.
var (
	fieldStart   = regexp.MustCompile(`^[!-9;-~]+[ \t]*:`)
	addressField = regexp.MustCompile(`(?i)^(?:To|Cc|Bcc|From|Sender|Reply-To|Resent-To|Resent-Cc|Resent-Bcc|Apparently-To|Mail-Followup-To|Mail-Reply-To|X-Notes-Item|[^\s:]*-Bcc)[ \t]*:`)
)

// inFields mends the values of the fields that show addresses. A line that begins no
// field and is no fold, either, belongs to the one before.
func inFields(mend func(value []byte) []byte) func(message) message {
	each := func(text []byte) []byte {
		var out, value []byte
		shows := false
		end := func() {
			if cut := len(bytes.TrimRight(value, "\r\n")); shows {
				value = append(mend(value[:cut:cut]), value[cut:]...)
			}
			out, value = append(out, value...), nil
		}
		for line := range bytes.Lines(text) {
			blank := len(bytes.TrimRight(line, "\r\n")) == 0
			if name := fieldStart.Find(line); name != nil || blank {
				end()
				shows = addressField.Match(name)
				out, line = append(out, name...), line[len(name):]
			}
			value = append(value, line...)
		}
		end()
		return out
	}
	return func(m message) message { return message{each(m.header), each(m.body)} }
}

// inBody mends all of the body.
func inBody(mend func(text []byte) []byte) func(message) message {
	return func(m message) message { return message{m.header, mend(m.body)} }
}

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

// unwrapped undoes the transfer encodings of a message, and its encoded words, where
// both versions read it as before: what the classes look for is then to be seen.
func unwrapped(p *pair, m message) message {
	for _, undo := range []func(message) message{withoutEncodings, withoutCharsets, inFields(withoutWords), inBody(withoutReferences)} {
		if plain := undo(m); !same(plain, m) && p.now(plain) == p.now(m) && p.before(plain) == p.before(m) {
			m = plain
		}
	}
	return m
}

// withCRLF returns text without line ends that stand alone.
func withCRLF(text []byte) []byte {
	text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte(" "))
	return bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
}

// withoutCharsets writes text in UTF-8, and without zero bytes.
func withoutCharsets(m message) message {
	m.body = bytes.ReplaceAll(m.body, []byte{0}, nil)
	return inParts(func(p part) part {
		charset := charsetParameter.FindSubmatch(p.header)
		if charset == nil {
			return p
		}
		enc, err := htmlindex.Get(string(charset[2]))
		if err != nil || enc == encoding.Replacement || enc == unicode.UTF8 {
			return p
		}
		if decoded, err := enc.NewDecoder().Bytes(p.content); err == nil {
			return part{charsetParameter.ReplaceAll(p.header, []byte("${1}utf-8")), withCRLF(decoded)}
		}
		return p
	})(m)
}

// withoutReferences decodes the character references of HTML, less those that would
// begin a tag.
func withoutReferences(text []byte) []byte {
	return reference.ReplaceAllFunc(text, func(r []byte) []byte {
		if one := html.UnescapeString(string(r)); !strings.ContainsAny(one, "<>&\"") {
			return []byte(one)
		}
		return r
	})
}

var reference = regexp.MustCompile(`&#?\w+;`)

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

// encodingField matches the field that names a transfer encoding that matters.
var encodingField = regexp.MustCompile(`(?im)^Content-Transfer-Encoding[ \t]*:[ \t]*(?:\([^()]*\)[ \t]*)?(base64|quoted-printable)[ \t]*\r?\n`)

// boundary matches the boundary that a message names.
var boundary = regexp.MustCompile(`(?i)boundary[ \t]*=[ \t]*"?([^";\r\n]+)`)

func boundaries(text []byte) (named [][]byte) {
	for _, found := range boundary.FindAllSubmatch(text, -1) {
		named = append(named, append([]byte("\n--"), bytes.TrimRight(found[1], " \t")...))
	}
	return named
}

// nextDelimiter returns where the next line begins that may part parts: by the
// boundaries that are named, or else by its hyphens.
func nextDelimiter(text []byte, named [][]byte) int {
	if len(named) == 0 {
		named = [][]byte{[]byte("\n--")}
	}
	next := len(text)
	for _, b := range named {
		if n := bytes.Index(text[:next], b); n >= 0 {
			next = n + 1
		}
	}
	return next
}

// withoutEncodings decodes what stands behind a header that names an encoding, up to
// the next line that begins like a delimiter.
func withoutEncodings(m message) message {
	text := m.text()
	named := boundaries(text)
	for from := 0; ; {
		place := encodingField.FindSubmatchIndex(text[from:])
		if place == nil {
			return parse(text)
		}
		base64 := text[from+place[2]]|0x20 == 'b'
		field := from + place[0]
		text = append(text[:field:field], text[from+place[1]:]...)
		start := bytes.Index(text[field:], []byte("\r\n\r\n"))
		if field > 0 && bytes.HasPrefix(text[field:], []byte("\r\n")) {
			start = -2 // it was the last field
		}
		if start == -1 {
			return parse(text)
		}
		start += field + 4
		end := start + nextDelimiter(text[start:], named)
		var decoded []byte
		if base64 {
			decoded = append(decodedBase64(text[start:end]), "\r\n"...)
		} else {
			decoded, _ = io.ReadAll(quotedprintable.NewReader(bytes.NewReader(text[start:end])))
		}
		text = bytes.Join([][]byte{text[:start], withCRLF(decoded), text[end:]}, nil)
		from = field
	}
}
