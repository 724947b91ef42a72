package body

import (
	"io"

	"sendguard/policy/body/container"
	"sendguard/policy/mail"
)

// container returns what reads the content as a container, or nil where it must not be
// read. A zip file may begin anywhere.
func (c *content) container() io.WriteCloser {
	open := c.scan.bounds.Zip
	if container.IsGzip(c.start) {
		open = c.scan.bounds.Gzip
	}
	to := open(c.level, container.Readers{Member: c.member, Text: c.outside})
	if to == nil {
		return nil
	}
	return inside{to, c.scan}
}

// member reads a member of the container: its name and type say nothing.
func (c *content) member(level int, asText bool) io.WriteCloser {
	m := &content{scan: c.scan, level: level, part: untyped}
	if asText {
		m.part = mail.Part{} // which is text (RFC 2045 section 5.2)
	}
	return m
}

// outside reads what of a container is no member.
func (c *content) outside() io.WriteCloser { return &textScanner{scan: c.scan} }

// untyped is a part that may be anything.
var untyped = func() mail.Part {
	h := mail.ParseHeader([]byte("Content-Type: application/octet-stream\r\n\r\n"))
	return h.Part()
}()

// inside notes that what is read stands in a container.
type inside struct {
	io.WriteCloser
	scan *Counter
}

func (i inside) Write(p []byte) (int, error) {
	i.scan.inside++
	defer func() { i.scan.inside-- }()
	return i.WriteCloser.Write(p)
}

func (i inside) Close() error {
	i.scan.inside++
	defer func() { i.scan.inside-- }()
	return i.WriteCloser.Close()
}
