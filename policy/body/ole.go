package body

import (
	"bytes"
	"slices"
)

// hasStrings reports a file of Office that is no text and has strings in it as they are.
func hasStrings(start []byte) bool {
	return slices.ContainsFunc(stringsStarts, func(s string) bool { return bytes.HasPrefix(start, []byte(s)) })
}

// stringsStarts are what such files begin with.
var stringsStarts = []string{
	"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", // xls, doc, ppt and msg, and what is encrypted ([MS-CFB] section 2.2)
	"\x9f\x01\x08",                     // the strings of an xlsb ([MS-XLSB] section 2.4.186)
	"\x81\x01\x00",                     // a sheet of one
	"\xf4\x04\x00",                     // its comments
}

// A stringsScanner reads the strings in a file that is no text, as they stand there:
// those in one byte a character, and those in UTF-16LE wherever they begin. What ends
// a string may be the length of the next one and look like a letter, so before the
// last one stands a seam.
type stringsScanner struct {
	narrow, wide run
	last         byte // of the input, if it may be half a character of UTF-16
	half         bool
	isEncrypted  bool
	encrypted    func() // called once where the file says that it is
}

func newStringsScanner(s *Counter, encrypted func()) *stringsScanner {
	return &stringsScanner{
		narrow:    run{to: &textScanner{scan: s}},
		wide:      run{to: &textScanner{scan: s}},
		encrypted: encrypted,
	}
}

// encryptedStream is the name of the stream that holds an encrypted file ([MS-OFFCRYPTO]
// section 2.3.1).
const encryptedStream = "EncryptedPackage"

// Write takes the next piece; it cannot fail.
func (s *stringsScanner) Write(p []byte) (int, error) {
	for _, c := range p {
		isText := c >= ' ' && c != 0x7f || c == '\t'
		switch {
		case isText:
			s.narrow.add(c)
		default:
			s.narrow.end(c == 0)
		}
		switch {
		case c == 0 && s.half:
			s.wide.add(s.last)
			s.half = false
		default:
			if s.half || !isText {
				s.endWide()
			}
			s.last, s.half = c, isText
		}
	}
	return len(p), nil
}

// endWide ends a string in UTF-16.
func (s *stringsScanner) endWide() {
	if bytes.HasPrefix(s.wide.held, []byte(encryptedStream)) && !s.isEncrypted {
		s.isEncrypted = true
		s.encrypted()
	}
	s.wide.end(true)
}

// Close ends the file.
func (s *stringsScanner) Close() error {
	s.narrow.end(true)
	s.endWide()
	return nil
}

// A run is a string that has not ended.
type run struct {
	to     *textScanner
	held   []byte
	odd    int  // of them are not in US-ASCII
	passed bool // some of it was
}

const (
	maxRun = 256             // more is passed on before the end
	minRun = len("a@abc.de") // shorter ones stand in noise
)

func (r *run) add(c byte) {
	if len(r.held) == maxRun {
		r.to.Write(r.held[:maxRun-1])
		r.held = append(r.held[:0], r.held[maxRun-1])
		r.passed = true
	}
	r.held = append(r.held, c)
	if c >= 0x80 {
		r.odd++
	}
}

// end ends the string, whose last character may be none.
func (r *run) end(doubtful bool) {
	if n := len(r.held) - 1; r.passed || r.isText() {
		r.to.Write(r.held[:n])
		if doubtful {
			r.to.Write(oneSeam)
		}
		r.to.Write(append(r.held[n:], '\n'))
	}
	r.held, r.odd, r.passed = r.held[:0], 0, false
}

// isText reports what may be words with an address among them. Pictures and what is
// compressed have strings, too, but half of their bytes are not in US-ASCII.
func (r *run) isText() bool {
	return len(r.held) >= minRun && r.odd <= len(r.held)/4 && bytes.IndexByte(r.held, '@') >= 0
}
