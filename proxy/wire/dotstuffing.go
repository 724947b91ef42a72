package wire

import "bytes"

// An Unstuffer takes the dot-stuffing off a message that comes in pieces (RFC 5321
// section 4.5.2).
type Unstuffer struct{ inLine bool }

// Unstuff takes a piece; stuffed says that there may be something to take off. Whoever
// finds where a message ends has seen that, and hardly ever there is.
func (u *Unstuffer) Unstuff(piece []byte, stuffed bool) []byte {
	if len(piece) == 0 {
		return nil
	}
	begins := !u.inLine
	u.inLine = !bytes.HasSuffix(piece, CRLF)
	if !stuffed {
		return piece
	}
	if begins {
		piece = bytes.TrimPrefix(piece, FinalDot[:1])
	}
	return bytes.ReplaceAll(piece, []byte("\r\n."), CRLF)
}

// Stuff returns a copy of the header with dot-stuffing.
func Stuff(header []byte) []byte {
	stuffed := bytes.ReplaceAll(header, []byte("\r\n."), []byte("\r\n.."))
	if bytes.HasPrefix(stuffed, FinalDot[:1]) {
		stuffed = append([]byte("."), stuffed...)
	}
	return stuffed
}
