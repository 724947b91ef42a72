package mail

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// NormalLocal appends the local part to dst as addresses are compared: in
// lower case, without the quote marks of other scripts that stand before it.
func NormalLocal(dst, local []byte) []byte {
	if IsASCII(local) {
		return appendLower(dst, local)
	}
	bare := bytes.TrimLeftFunc(local, isOpening)
	if len(bare) == 0 {
		bare = local
	}
	if !utf8.Valid(bare) { // ToLower would make all bytes of an unknown charset one
		return appendLower(dst, bare)
	}
	return append(dst, bytes.ToLower(bare)...)
}

// isForeignComma reports what separates addresses outside US-ASCII.
func isForeignComma(r rune) bool {
	return r >= 0x80 && (unicode.IsSpace(r) || r == '，' || r == '；' || r == '、' || r == '،')
}

// isOpening reports an opening quote mark or bracket, white space or an
// invisible mark outside US-ASCII. Windows puts such a mark before an address
// that is copied out of a dialog.
func isOpening(r rune) bool {
	return r >= 0x80 && r != utf8.RuneError && unicode.In(r, unicode.Pi, unicode.Ps, unicode.Cf, unicode.White_Space)
}

// IsForeignPunct reports white space, punctuation and invisible marks outside
// US-ASCII, which may stand round an address.
func IsForeignPunct(r rune) bool {
	return r >= 0x80 && r != utf8.RuneError && (unicode.IsSpace(r) || unicode.IsPunct(r) || unicode.Is(unicode.Cf, r))
}

func IsASCII(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

func appendLower(dst, b []byte) []byte {
	for _, c := range b {
		dst = append(dst, lower(c))
	}
	return dst
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}
