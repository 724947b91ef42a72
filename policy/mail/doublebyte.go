package mail

import (
	"bytes"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// Charsets of East Asia write a character in two bytes, of which the second, or
// each, may be 0x40. Where old mail has them in its header without encoded
// words, that byte is no @.

// isSecondByte reports an @ that is the second byte of a character in Shift_JIS,
// Big5 or GBK, with local right before it and domain behind. A header does not
// name these, so it is told by what stands there: before it a byte that is no
// UTF-8, behind it no dot, and more such bytes on one of the sides. Else it is
// an address in Latin-1 that its reader sees: andr\xe9@intranet. So it is before
// a domain in US-ASCII unless the byte is one where ISO 8859 has no letters, as
// that of a full-width blank in Shift_JIS.
func isSecondByte(local, domain []byte) bool {
	last := len(local) - 1
	if IsASCII(domain) && (IsASCII(local[:last]) || local[last] >= 0xa0) {
		return false
	}
	return local[last] > 0x80 && !bytes.ContainsAny(domain, ".．。｡") && !utf8.Valid(local)
}

// A shift is how a charset of ISO/IEC 2022 begins characters that are not
// US-ASCII, in bytes that are (RFC 1468, RFC 1554, RFC 1557).
type shift struct {
	begin string
	size  int               // bytes of a character
	enc   encoding.Encoding // has the same characters, with the eighth bit set
}

var shifts = []shift{
	{"\x1b$@", 2, japanese.EUCJP},
	{"\x1b$B", 2, japanese.EUCJP},
	{"\x1b$(D", 2, japanese.EUCJP}, // another set; that they are letters is enough
	{"\x1b(I", 1, japanese.ShiftJIS},
	{"\x1b$A", 2, simplifiedchinese.GBK},
	{"\x1b$(C", 2, korean.EUCKR},
	{"\x0e", 2, korean.EUCKR},
}

// shiftMarks are what else switches charsets: back to US-ASCII, or ready for \x0e.
var shiftMarks = []string{"\x1b(B", "\x1b(J", "\x1b(H", "\x1b$)A", "\x1b$)C", "\x0f"}

// decodeShifts returns value with what charsets of ISO/IEC 2022 write in UTF-8.
// What is not well formed stays: so it is shown.
func decodeShifts(value []byte) []byte {
	if bytes.IndexByte(value, 0x1b) < 0 { // even \x0e needs one before it
		return value
	}
	out := make([]byte, 0, len(value))
	for i := 0; i < len(value); {
		if c := value[i]; c != 0x1b && c != 0x0e && c != 0x0f {
			out = append(out, c)
			i++
			continue
		}
		text, size := shifted(value[i:])
		out = append(out, text...)
		i += size
	}
	return out
}

// shifted decodes what begins with a control character, and says in how many
// bytes it was written.
func shifted(value []byte) (text []byte, size int) {
	for _, s := range shifts {
		if rest, ok := bytes.CutPrefix(value, []byte(s.begin)); ok {
			n := bytes.IndexFunc(rest, func(r rune) bool { return r < '!' || r > '~' })
			if n < 0 || n%s.size != 0 || rest[n] != 0x1b && rest[n] != 0x0f {
				break
			}
			if _, found := NextWord(rest[:n], 0); found { // it ended before, without an escape
				break
			}
			high := bytes.Clone(rest[:n])
			for i := range high {
				high[i] |= 0x80
			}
			if decoded, err := s.enc.NewDecoder().Bytes(high); err == nil {
				return appendPlain(nil, decoded), len(s.begin) + n
			}
		}
	}
	for _, mark := range shiftMarks {
		if bytes.HasPrefix(value, []byte(mark)) {
			return nil, len(mark)
		}
	}
	return value[:1], 1
}
