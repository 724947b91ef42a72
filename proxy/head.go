package proxy

import (
	"bytes"
	"errors"

	"sendguard/policy"
)

var (
	errHeaderTooLarge = errors.New("header too large")
	errHeaderLine     = errors.New("header line too long")
	errBuffersFull    = errors.New("buffers full")
)

// readHeader takes the header of the message as it came, with the empty line
// that ends it. What came along with it stays in m.piece.
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
		} else if header = append(header, m.piece...); !m.memory.take(2 * len(m.piece)) {
			return nil, errBuffersFull
		}
		end := headerEnd(header, searched)
		if end < 0 && (m.last || m.body.bare) {
			end = len(header)
		}
		switch {
		case end > m.limits.HeaderBytes, end < 0 && len(header) > m.limits.HeaderBytes:
			return nil, errHeaderTooLarge
		case end >= 0:
			m.inPiece = end - searched
			return header[:end], m.checkLines(header[:end])
		}
		if searched == 0 {
			header = bytes.Clone(m.piece)
		}
	}
}

// readHead takes as much of the body as the policy wants to look at into
// m.head. Where that is something, header and body are then one piece: a copy,
// for the piece that holds the header is read over.
func (m *passage) readHead(header []byte) ([]byte, error) {
	plain := unstuff(header)
	if m.policy.WantsBody(plain, nil) == 0 {
		return header, nil
	}
	end := len(header)
	all := append(bytes.Clone(header), m.piece[m.inPiece:]...)
	if !m.memory.take(2 * len(all)) {
		return nil, errBuffersFull
	}
	missing := func() int {
		head := unstuff(beginOf(all[end:]))
		return m.policy.WantsBody(plain, head) - len(head)
	}
	for n := missing(); n > 0 && !m.last && !m.body.bare && len(all)-end < policy.MaxBody; {
		if err := m.next(); err != nil {
			return nil, err
		}
		if !m.memory.take(2 * len(m.piece)) {
			return nil, errBuffersFull
		}
		all = append(all, m.piece...)
		if n -= len(m.piece); n <= 0 {
			n = missing()
		}
	}
	m.piece, m.inPiece, m.head = all, end, beginOf(all[end:])
	m.headCut = !m.last && !m.body.bare || len(m.head) < len(all)-end
	return all[:end:end], nil
}

// beginOf is as much of a body as the policy looks at. It does not end between
// a dot that was stuffed and the one behind it.
func beginOf(body []byte) []byte {
	if len(body) <= policy.MaxBody {
		return body
	}
	body = body[:policy.MaxBody]
	if bytes.HasSuffix(body, []byte("\r\n.")) {
		return body[:policy.MaxBody-1]
	}
	return body
}

// headerEnd returns where the header ends in b, its empty line included, or -1.
// There is none in b[:searched].
func headerEnd(b []byte, searched int) int {
	if bytes.HasPrefix(b, crlf) { // an empty header, with the line behind it: see policy
		switch n := bytes.Index(b[len(crlf):], crlf); {
		case n >= 0:
			return n + 2*len(crlf)
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
	for line := range bytes.SplitSeq(header, crlf) {
		if len(line) > m.limits.LineBytes {
			return errHeaderLine
		}
	}
	return nil
}

// unstuff returns the header without dot-stuffing (RFC 5321 section 4.5.2).
func unstuff(header []byte) []byte {
	header = bytes.TrimPrefix(header, finalDot[:1])
	if !bytes.Contains(header, []byte("\r\n.")) {
		return header
	}
	return bytes.ReplaceAll(header, []byte("\r\n."), crlf)
}

// stuff returns a copy of the header with dot-stuffing.
func stuff(header []byte) []byte {
	stuffed := bytes.ReplaceAll(header, []byte("\r\n."), []byte("\r\n.."))
	if bytes.HasPrefix(stuffed, finalDot[:1]) {
		stuffed = append([]byte("."), stuffed...)
	}
	return stuffed
}
