package mail

import (
	"bytes"
	"slices"
	"unicode"
	"unicode/utf8"
)

// wideAts are what keyboards for East Asian scripts type for an @. UTS 46 and
// mail clients take them for one.
var wideAts = [...]string{"＠", "﹫"}

// MayShow reports whether text may hold an address: without it there is none.
func MayShow(text []byte) bool {
	return bytes.IndexByte(text, '@') >= 0 || bytes.Contains(text, EncodedWordStart) ||
		slices.ContainsFunc(wideAts[:], func(at string) bool { return bytes.Contains(text, []byte(at)) })
}

// narrowed returns value with an @ for each wide one that has a domain behind
// it. Without one it is a sign in a name: 山田＠東京.
func narrowed(value []byte) []byte {
	if bytes.IndexByte(value, wideAts[0][0]) < 0 {
		return value
	}
	for _, wide := range wideAts {
		if at := []byte(wide); bytes.Contains(value, at) {
			out := make([]byte, 0, len(value))
			for before, after, found := bytes.Cut(value, at); ; before, after, found = bytes.Cut(after, at) {
				out = append(out, before...)
				if !found {
					break
				}
				if isDotted(after) {
					out = append(out, '@')
				} else {
					out = append(out, at...)
				}
			}
			value = out
		}
	}
	return value
}

// isDotted reports a domain at the start of text that has a dot inside. The full
// stop of East Asian scripts ends a sentence unless a Latin letter follows.
func isDotted(text []byte) bool {
	inside := false
	for i := 0; i < min(len(text), maxDomain); {
		r, size := utf8.DecodeRune(text[i:])
		next, _ := utf8.DecodeRune(text[i+size:])
		switch {
		case r < utf8.RuneSelf && !IsDomainByte(byte(r)), r == '＠', r == '﹫', isForeignComma(r), partsWords(r):
			return false
		case r == '.' || r == '．':
			if inside && (unicode.IsLetter(next) || unicode.IsDigit(next)) {
				return true
			}
		case r == '。' || r == '｡':
			if inside && unicode.Is(unicode.Latin, next) {
				return true
			}
		default:
			inside = true
		}
		i += size
	}
	return false
}
