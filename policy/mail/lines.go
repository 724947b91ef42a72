package mail

import "bytes"

// A LineCutter takes text in pieces of any size and passes it on line by line,
// each with its end, and a line that is longer than max in pieces of max, the
// first of which begins it. How the text was cut makes no difference.
type LineCutter struct {
	Max    int
	Line   func(p []byte, begins bool)
	Held   []byte // a line that has not ended
	inLine bool   // a piece of it was passed on
}

// Write takes the next piece; it cannot fail.
func (c *LineCutter) Write(piece []byte) (int, error) {
	for p := piece; len(p) > 0; {
		n := bytes.IndexByte(p, '\n') + 1
		if n > 0 && n <= c.Max && len(c.Held) == 0 {
			c.pass(p[:n])
			p = p[n:]
			continue
		}
		if n == 0 {
			n = len(p)
		}
		n = min(n, c.Max-len(c.Held))
		c.Held = append(c.Held, p[:n]...)
		if len(c.Held) == c.Max || p[n-1] == '\n' {
			c.pass(c.Held)
			c.Held = c.Held[:0]
		}
		p = p[n:]
	}
	return len(piece), nil
}

func (c *LineCutter) pass(p []byte) {
	begins := !c.inLine
	c.inLine = p[len(p)-1] != '\n'
	c.Line(p, begins)
}

// Flush passes on a last line that has no end.
func (c *LineCutter) Flush() {
	if len(c.Held) > 0 {
		c.pass(c.Held)
		c.Held = nil
	}
}
