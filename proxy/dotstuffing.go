package proxy

import "bytes"

// An unstuffer takes the dot-stuffing off a message that comes in pieces (RFC 5321
// section 4.5.2).
type unstuffer struct{ inLine bool }

// unstuff takes a piece; stuffed says that there may be something to take off. Whoever
// finds where a message ends has seen that, and hardly ever there is.
func (u *unstuffer) unstuff(piece []byte, stuffed bool) []byte {
	if len(piece) == 0 {
		return nil
	}
	begins := !u.inLine
	u.inLine = !bytes.HasSuffix(piece, crlf)
	if !stuffed {
		return piece
	}
	if begins {
		piece = bytes.TrimPrefix(piece, finalDot[:1])
	}
	return bytes.ReplaceAll(piece, []byte("\r\n."), crlf)
}

// stuff returns a copy of the header with dot-stuffing.
func stuff(header []byte) []byte {
	stuffed := bytes.ReplaceAll(header, []byte("\r\n."), []byte("\r\n.."))
	if bytes.HasPrefix(stuffed, finalDot[:1]) {
		stuffed = append([]byte("."), stuffed...)
	}
	return stuffed
}
