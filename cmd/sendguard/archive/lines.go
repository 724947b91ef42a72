package archive

import (
	"bytes"
	"io"
)

// AppendCRLF appends a piece, a line end as CRLF.
func AppendCRLF(dst, text []byte) []byte {
	if line, ended := bytes.CutSuffix(text, []byte("\n")); ended {
		return append(append(dst, bytes.TrimSuffix(line, []byte("\r"))...), "\r\n"...)
	}
	return append(dst, text...)
}

// hasBareCR reports a CR that does not belong to the line end of a piece.
func hasBareCR(text []byte) bool {
	return bytes.IndexByte(bytes.TrimSuffix(text, []byte("\r\n")), '\r') >= 0
}

// A crMender makes one LF of a CRLF and of a CR that stands alone.
type crMender struct {
	r     io.Reader
	wasCR bool
}

func (c *crMender) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	mended := p[:0]
	for _, b := range p[:n] {
		after := c.wasCR
		c.wasCR = b == '\r'
		switch {
		case c.wasCR:
			mended = append(mended, '\n')
		case b != '\n' || !after:
			mended = append(mended, b)
		}
	}
	return len(mended), err
}
