package mail

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// NormalLocal appends the local part to dst as addresses are compared: in
// lower case, without its quoting (RFC 5321 section 4.1.2: "ann"@x is ann@x),
// and without the marks of other scripts that stand round it.
func NormalLocal(dst, local []byte) []byte {
	dst, plain := appendPlainLower(dst, local)
	if !plain {
		return appendOddLocal(dst, local)
	}
	return dst
}

// appendPlainLower appends what is plain atoms in lower case. Of anything else it
// appends nothing.
func appendPlainLower(dst, atoms []byte) (all []byte, plain bool) {
	n := len(dst)
	dst = append(dst, atoms...)
	for i, c := range dst[n:] {
		switch l := plainLower[c]; {
		case l == 0:
			return dst[:n], false
		case l != c:
			dst[n+i] = l
		}
	}
	return dst, true
}

// plainLower are the bytes of plain atoms in lower case; 0 is no such byte.
var plainLower = func() (t [256]byte) {
	for c := range byte(0x80) {
		if Class[c] != ClassSpace && c != '"' && c != '(' {
			t[c] = lower(c)
		}
	}
	return t
}()

// appendOddLocal is NormalLocal for what is more than plain atoms.
func appendOddLocal(dst, local []byte) []byte {
	local = Unquoted(local)
	if IsASCII(local) {
		return appendLower(dst, local)
	}
	local = withoutMarks(local)
	if !utf8.Valid(local) { // ToLower would make all bytes of an unknown charset one
		return appendLower(dst, local)
	}
	return append(dst, bytes.ToLower(bytes.Map(seen, local))...)
}

// Unquoted returns a local part without what only writes it: quote marks and
// quoted pairs, comments, and white space beside its dots (RFC 5322 sections
// 3.2.4 and 4.4). White space between its words is one blank.
func Unquoted(local []byte) []byte {
	out := make([]byte, 0, len(local))
	gap, openCount := false, 0
	for i := 0; i < len(local); {
		piece, end, ok := local[i:i+1], i+1, false
		switch c := local[i]; {
		case Class[c] == ClassSpace:
			piece = nil
		case (c == '"' || c == '(') && openCount <= MaxOpenComments:
			if end, ok = Closing(local, i); !ok {
				end = i + 1
				openCount++
			} else if piece = nil; c == '"' {
				piece = bytes.ReplaceAll(unescape(local[i+1:end-1]), CRLF, nil)
			}
		}
		if i = end; len(piece) == 0 {
			gap = gap || !ok || local[end-1] == ')'
			continue
		}
		if gap && len(out) > 0 && out[len(out)-1] != '.' && piece[0] != '.' {
			out = append(out, ' ')
		}
		out, gap = append(out, piece...), false
	}
	return out
}

// withoutMarks returns a local part without what stands round it: brackets, quote
// marks, commas and blanks of other scripts. Windows puts a mark before an
// address that is copied out of a dialog, and Japanese names have the address in
// full-width brackets.
func withoutMarks(local []byte) []byte {
	bare := bytes.TrimRightFunc(local, isClosing)
	if i := bytes.LastIndexFunc(bare, partsWords); i >= 0 {
		_, size := utf8.DecodeRune(bare[i:])
		bare = bare[i+size:]
	}
	if bare = bytes.TrimLeftFunc(bare, isOpening); len(bare) == 0 {
		return local
	}
	return bare
}

// seen maps what is not seen, such as a blank of no width, to nothing.
func seen(r rune) rune {
	if unicode.Is(unicode.Cf, r) && r != zeroWidthJoiner && r != zeroWidthNonJoiner {
		return -1
	}
	return r
}

// Letters of some scripts differ by these two (RFC 5892 appendix A).
const (
	zeroWidthNonJoiner = '\u200c'
	zeroWidthJoiner    = '\u200d'
)

// isForeignComma reports what separates addresses outside US-ASCII.
func isForeignComma(r rune) bool {
	return r >= 0x80 && (unicode.IsSpace(r) || r == '，' || r == '；' || r == '、' || r == '،')
}

// partsWords reports what is no part of an address outside US-ASCII, though no
// blank: brackets, commas and quote marks, less those that are apostrophes.
func partsWords(r rune) bool {
	if r < 0x80 || r == utf8.RuneError || unicode.IsSpace(r) || r == '‘' || r == '’' || r == '‛' {
		return false
	}
	return isForeignComma(r) || strings.ContainsRune(wideMarks, r) || unicode.In(r, unicode.Ps, unicode.Pe, unicode.Pi, unicode.Pf)
}

// wideMarks are other full-width marks that stand round addresses.
const wideMarks = "＜＞≪≫＂：｜"

// isOpening reports an opening quote mark or bracket, white space or an
// invisible mark outside US-ASCII.
func isOpening(r rune) bool {
	return r >= 0x80 && r != utf8.RuneError && unicode.In(r, unicode.Pi, unicode.Ps, unicode.Cf, unicode.White_Space)
}

// isClosing reports the same at the end of a local part, less the apostrophe.
func isClosing(r rune) bool {
	return partsWords(r) || r >= 0x80 && unicode.In(r, unicode.Cf, unicode.White_Space)
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
