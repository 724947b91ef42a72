package proxy

import (
	"bytes"
	"errors"

	"sendguard/proxy/wire"
)

var (
	errHeaderTooLarge  = errors.New("header too large")
	errHeaderLine      = errors.New("header line too long")
	errMessageTooLarge = errors.New("message too large")
	errBuffersFull     = errors.New("buffers full")
)

// readHeader takes the header of the message as it came, with the empty line
// that ends it. It then stands at the start of m.piece, with what came along.
//
// A bare CR or LF ends the search: the message will not pass, and there may be
// no empty line that is one for us.
func (m *passage) readHeader() ([]byte, error) {
	var header []byte
	for {
		if err := m.next(); err != nil {
			return nil, err
		}
		searched := len(header)
		if searched == 0 {
			header = m.piece
		} else if header = append(header, m.piece...); !m.memory.Take(2 * len(m.piece)) {
			return nil, errBuffersFull
		}
		end := headerEnd(header, searched)
		if end < 0 && (m.last || m.body.Bare()) {
			end = len(header)
		}
		switch {
		case end > m.session.route.limits.HeaderBytes, end < 0 && len(header) > m.session.route.limits.HeaderBytes:
			return nil, errHeaderTooLarge
		case end >= 0:
			m.piece, m.start = header, end
			return header[:end], m.checkLines(header[:end])
		}
		if searched == 0 {
			header = bytes.Clone(m.piece)
		}
	}
}

// headerEnd returns where the header ends in b, its empty line included, or -1.
// There is none in b[:searched].
func headerEnd(b []byte, searched int) int {
	if bytes.HasPrefix(b, wire.CRLF) { // an empty header, with the line behind it: see policy
		switch n := bytes.Index(b[len(wire.CRLF):], wire.CRLF); {
		case n >= 0:
			return n + 2*len(wire.CRLF)
		case len(b) > maxFirstLine:
			return len(b)
		}
		return -1
	}
	from := max(0, searched-3)
	if i := bytes.Index(b[from:], []byte("\r\n\r\n")); i >= 0 {
		return from + i + 4
	}
	return -1
}

// maxFirstLine is how much of the first line is looked at behind an empty header.
const maxFirstLine = 4096

// checkLines holds the lines of a header against the limit.
func (m *passage) checkLines(header []byte) error {
	for line := range bytes.SplitSeq(header, wire.CRLF) {
		if len(line) > m.session.route.limits.LineBytes {
			return errHeaderLine
		}
	}
	return nil
}
