package policy

import "bytes"

// A lineCutter takes text in pieces of any size and passes it on line by line,
// each with its end, and a line that is longer than max in pieces of max. How
// the text was cut makes no difference.
type lineCutter struct {
	max  int
	line func([]byte)
	held []byte // a line that has not ended
}

// Write takes the next piece; it cannot fail.
func (c *lineCutter) Write(piece []byte) (int, error) {
	for p := piece; len(p) > 0; {
		n := bytes.IndexByte(p, '\n') + 1
		if n > 0 && n <= c.max && len(c.held) == 0 {
			c.line(p[:n])
			p = p[n:]
			continue
		}
		if n == 0 {
			n = len(p)
		}
		n = min(n, c.max-len(c.held))
		c.held = append(c.held, p[:n]...)
		if len(c.held) == c.max || p[n-1] == '\n' {
			c.line(c.held)
			c.held = c.held[:0]
		}
		p = p[n:]
	}
	return len(piece), nil
}

// flush passes on a last line that has no end.
func (c *lineCutter) flush() {
	if len(c.held) > 0 {
		c.line(c.held)
		c.held = nil
	}
}
