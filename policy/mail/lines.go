package mail

import "bytes"

// A lineCutter takes text in pieces of any size and passes it on line by line,
// each with its end, and a line that is longer than max in pieces of max, the
// first of which begins it. How the text was cut makes no difference.
type lineCutter struct {
	max    int
	line   func(p []byte, begins bool)
	held   []byte // a line that has not ended
	inLine bool   // a piece of it was passed on
}

// Write takes the next piece; it cannot fail.
func (c *lineCutter) Write(piece []byte) (int, error) {
	for p := piece; len(p) > 0; {
		n := bytes.IndexByte(p, '\n') + 1
		if n > 0 && n <= c.max && len(c.held) == 0 {
			c.pass(p[:n])
			p = p[n:]
			continue
		}
		if n == 0 {
			n = len(p)
		}
		n = min(n, c.max-len(c.held))
		c.held = append(c.held, p[:n]...)
		if len(c.held) == c.max || p[n-1] == '\n' {
			c.pass(c.held)
			c.held = c.held[:0]
		}
		p = p[n:]
	}
	return len(piece), nil
}

func (c *lineCutter) pass(p []byte) {
	begins := !c.inLine
	c.inLine = p[len(p)-1] != '\n'
	c.line(p, begins)
}

// flush passes on a last line that has no end.
func (c *lineCutter) flush() {
	if len(c.held) > 0 {
		c.pass(c.held)
		c.held = nil
	}
}
