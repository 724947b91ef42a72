package mail

import (
	"bytes"
	"io"
)

// UnfoldCards puts before a reader of text what undoes the way in which vCards are
// written: lines are folded, even within an address (RFC 6350 section 3.2), and of
// version 2.1 they may be quoted-printable. A card of another version loses nothing
// by that: what has the form of an encoded byte there is the value of a parameter.
func UnfoldCards(to io.WriteCloser) io.WriteCloser {
	return newLineWriter(&quotedPrintableDecoder{to: &unfolder{to: to}})
}

// An unfolder joins folded lines.
type unfolder struct {
	to    io.WriteCloser
	ended bool // a line has, and was not passed on yet
}

func (u *unfolder) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		switch {
		case u.ended && IsBlank(rest[0]):
			rest = rest[1:]
		case u.ended:
			u.to.Write([]byte("\n"))
		}
		var line []byte
		line, rest, u.ended = bytes.Cut(rest, []byte("\n"))
		u.to.Write(bytes.TrimRight(line, "\r"))
	}
	return len(p), nil
}

func (u *unfolder) Close() error { return u.to.Close() }
