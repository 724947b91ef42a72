package mail

import "io"

// A Listener is told what a Walk comes by.
type Listener interface {
	// Delimiter is told of a line that begins or ends a part.
	Delimiter(p *Part)
	// HeaderLine takes a line of the header of a part, or a piece of a long one,
	// with its line end. The header of the message itself is not told.
	HeaderLine(p *Part, line []byte, begins bool)
	// Content is called when the header of a part has ended, and for the message
	// itself. It returns what takes the content, or nil, and whether it is to be
	// without its transfer encodings. The content of a multipart is what stands
	// round its parts; that of a message inside is not told unless it is encoded.
	Content(p *Part) (to io.WriteCloser, decoded bool)
}

// tell has the listeners take the content of the part at hand as it is.
func (w *Walk) tell() *content { return &content{w.takers(nil, nil)} }

// readings has the listeners take the content of the part at hand, and what inside
// returns, once for each way to undo its transfer encodings.
func (w *Walk) readings(inside func() io.WriteCloser) *content {
	c := &content{}
	for i, names := range w.part.undoings() {
		w.part.Again = i > 0
		c.to = append(c.to, w.takers(names, inside)...)
	}
	return c
}

// takers are what the listeners return, with what undoes transfer encodings.
func (w *Walk) takers(names []string, inside func() io.WriteCloser) []io.WriteCloser {
	var raw, decoded content
	for _, l := range w.listeners {
		switch to, isDecoded := l.Content(&w.part); {
		case to == nil:
		case isDecoded:
			decoded.to = append(decoded.to, to)
		default:
			raw.to = append(raw.to, to)
		}
	}
	if inside != nil {
		if to := inside(); to != nil {
			decoded.to = append(decoded.to, to)
		}
	}
	switch {
	case len(decoded.to) == 0:
		return raw.to
	case len(decoded.to) == 1:
		return append(raw.to, undo(names, decoded.to[0]))
	}
	return append(raw.to, undo(names, &decoded))
}

// A content passes on what belongs to a part.
type content struct{ to []io.WriteCloser }

func (c *content) Write(p []byte) (int, error) {
	for _, to := range c.to {
		to.Write(p)
	}
	return len(p), nil
}

func (c *content) Close() error {
	for _, to := range c.to {
		to.Close()
	}
	return nil
}
