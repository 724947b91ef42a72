package mail

import (
	"io"

	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// appendText appends text in the given charset to dst as UTF-8. What is not in
// a superset of US-ASCII is read as US-ASCII, too: so it is shown by a mail
// client that does not know the charset.
func appendText(dst []byte, charset string, text []byte) []byte {
	switch name := strings.ToLower(charset); {
	case slices.Contains(utf7Names, name):
		return appendPlain(append(appendPlain(dst, DecodeUTF7(text)), ' '), text)
	case strings.HasPrefix(name, "utf-16") || name == "utf16": // the byte order may be either
		for _, order := range []unicode.Endianness{unicode.BigEndian, unicode.LittleEndian} {
			decoded, _ := unicode.UTF16(order, unicode.UseBOM).NewDecoder().Bytes(text)
			dst = append(appendPlain(dst, decoded), ' ')
		}
		if bytes.IndexByte(text, 0) < 0 {
			dst = appendPlain(dst, text)
		}
		return dst
	}
	enc := lookupCharset(charset)
	if enc == nil {
		return appendPlain(dst, decodeShifts(text))
	}
	decoded, err := enc.NewDecoder().Bytes(text)
	if err != nil {
		return appendPlain(dst, text)
	}
	dst = appendPlain(dst, decoded)
	if probe, err := enc.NewDecoder().String("a@b.c"); (err != nil || probe != "a@b.c") && bytes.IndexByte(decoded, '@') < 0 {
		dst = appendPlain(append(dst, ' '), text)
	}
	return dst
}

// utf7Names are the names of UTF-7 in the IANA registry and in use.
var utf7Names = []string{"utf-7", "utf7", "csutf7", "unicode-1-1-utf-7", "csunicode11utf7", "x-unicode-2-0-utf-7", "x-utf-7", "cp65000"}

// appendPlain appends text with blanks for what would open or close a quoted
// string, a comment or an angle bracket, and with a NUL before the blank that
// ends a sentence: there, a dot does not join words.
func appendPlain(dst, text []byte) []byte {
	for _, c := range text {
		if n := len(dst); c == ' ' && n > 0 && dst[n-1] == '.' {
			dst = append(dst, 0)
		}
		if t := Class[c]; t == classQuote || t == classOpen || t == classAngle || c == '>' || c == ')' || c == '\\' {
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
	if enc, err := htmlindex.Get(name); err == nil && enc != encoding.Replacement {
		return enc
	}
	if enc, err := ianaindex.MIME.Encoding(name); err == nil && enc != nil && enc != encoding.Replacement { // nil: known, and not there
		return enc
	}
	return otherCharset(name)
}

// DecodeUTF7 decodes UTF-7 (RFC 2152): +base64 of UTF-16-, and +- for a plus.
func DecodeUTF7(text []byte) []byte {
	var out []byte
	for len(text) > 0 {
		plain, rest, found := bytes.Cut(text, []byte("+"))
		out = append(out, plain...)
		if !found {
			break
		}
		n := bytes.IndexFunc(rest, func(r rune) bool { return !isBase64(r) })
		if n < 0 {
			n = len(rest)
		}
		units := decodeBase64(rest[:n])
		for i := 0; i+1 < len(units); i += 2 {
			out = utf8.AppendRune(out, rune(units[i])<<8|rune(units[i+1]))
		}
		if n < len(rest) && rest[n] == '-' {
			if n == 0 {
				out = append(out, '+')
			}
			n++
		}
		text = rest[n:]
	}
	return out
}

// A charsetDecoder writes text on in UTF-8.
type charsetDecoder struct {
	*transform.Writer
	to io.Closer
}

func newCharsetDecoder(enc encoding.Encoding, to io.WriteCloser) *charsetDecoder {
	return &charsetDecoder{transform.NewWriter(to, enc.NewDecoder()), to}
}

func (d *charsetDecoder) Close() error {
	d.Writer.Close()
	return d.to.Close()
}

// newUTF7Decoder writes text on line by line in UTF-8.
func newUTF7Decoder(to io.WriteCloser) io.WriteCloser {
	return &lineWriter{lineCutter{max: maxLine, line: func(p []byte, _ bool) { to.Write(DecodeUTF7(p)) }}, to}
}
