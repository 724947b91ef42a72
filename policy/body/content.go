package body

import (
	"bytes"
	"io"
	"slices"

	"sendguard/policy/body/container"
	"sendguard/policy/mail"
)

// A content reads what a part holds, by its first bytes: what type and name say is
// often wrong, or nothing.
type content struct {
	scan  *Counter
	part  mail.Part
	level int    // it stands inside of so many containers
	start []byte // until it is known how it is read
	known bool
	to    []io.WriteCloser // none where it is not read
}

// maxStart is how much of a part tells what it is.
const maxStart = 1 << 10

// Write takes content, cut anywhere; it cannot fail.
func (c *content) Write(p []byte) (int, error) {
	rest := p
	if c.level == 0 {
		c.scan.bounds.Sent(len(p))
	}
	if c.scan.bounds.Done() {
		return len(p), nil
	}
	if !c.known {
		n := min(len(p), maxStart-len(c.start))
		c.start, rest = append(c.start, p[:n]...), p[n:]
		if len(c.start) < maxStart {
			return len(p), nil
		}
		c.decide()
	}
	for _, to := range c.to {
		to.Write(rest)
	}
	return len(p), nil
}

// Close ends the part.
func (c *content) Close() error {
	if !c.known {
		c.decide()
	}
	c.end()
	return nil
}

// decide says how the part is read, and reads its start.
func (c *content) decide() {
	c.known = true
	text := c.start[:c.textEnd()]
	if plain := withoutZeros(text); c.isRead(plain) {
		for _, open := range c.readers(bytes.ToLower(plain)) {
			c.add(c.part.Text(open), text)
		}
	}
	if len(text) < len(c.start) {
		c.end()
	}
	if hasStrings(c.start) {
		c.add(newStringsScanner(c.scan, c.scan.bounds.Encrypted), c.start)
	}
	if to := c.container(); to != nil {
		c.add(to, c.start)
	}
	c.start = nil
}

// add has the content read by one reader more.
func (c *content) add(to io.WriteCloser, start []byte) {
	to.Write(start)
	c.to = append(c.to, to)
}

// end ends what reads the content.
func (c *content) end() {
	for _, to := range c.to {
		to.Close()
	}
	c.to = nil
}

// textEnd returns how much of the start may be read as text: what stands before a
// container, unless it says that it is text. That is shown as text, whatever it holds.
func (c *content) textEnd() int {
	if n, found := container.Find(c.start); found && !c.part.IsText() {
		return n
	}
	return len(c.start)
}

// isRead reports content that is looked into as it is. An invitation lists its guests by
// nature; what may be another kind of text as well is none.
func (c *content) isRead(start []byte) bool {
	if c.part.IsA("text/calendar") && !c.part.IsText() || bytes.HasPrefix(bytes.TrimLeft(start, byteOrder), []byte("BEGIN:VCALENDAR")) {
		return false
	}
	return c.part.IsText() || !isBinary(start) && !hasStrings(c.start)
}

// readers take content in UTF-8, by its start in lower case. Text that is HTML is
// shown as its source by some mail clients, unless it says what it is.
func (c *content) readers(start []byte) (all []func() io.WriteCloser) {
	text := func() io.WriteCloser { return &textScanner{scan: c.scan} }
	if bytes.Contains(start, []byte("begin:vcard")) {
		text = func() io.WriteCloser { return mail.UnfoldCards(&textScanner{scan: c.scan}) }
	}
	page := c.part.IsA("text/html", "application/xhtml+xml")
	if page || isHTML(start) {
		all = append(all, func() io.WriteCloser { return newHTMLScanner(c.scan, false) })
	} else if isXML(start) {
		all = append(all, func() io.WriteCloser { return newHTMLScanner(c.scan, true) })
	}
	if len(all) == 0 || !page && c.part.IsText() {
		all = append(all, text)
	}
	return all
}

// isHTML reports what begins like HTML, in lower case.
func isHTML(start []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(start, byteOrder), []byte("<")) &&
		slices.ContainsFunc([]string{"<html", "<body", "<table", "<div", "<p>"}, func(tag string) bool { return bytes.Contains(start, []byte(tag)) })
}

// byteOrder has what may stand before the first word: blanks, and the bytes of byte
// order marks.
const byteOrder = " \t\r\n\xef\xbb\xbf\xfe\xff"

// isBinary reports what is no text: PDF, or something that has more control
// characters among its first bytes than any text. Those of ISO 2022 (RFC 1468) are in
// text, too, and zero bytes are not here any more, which UTF-16 has.
func isBinary(start []byte) bool {
	control := 0
	for _, c := range start {
		if c < ' ' && bytes.IndexByte([]byte("\a\b\t\n\v\f\r\x0e\x0f\x1a\x1b"), c) < 0 || c == 0x7f {
			control++
		}
	}
	return control > 1+len(start)/maxControl || bytes.HasPrefix(start, []byte("%PDF-"))
}

// maxControl is how many bytes a text has for each control character but one, at
// least. Pictures and archives have one in ten, and more where they begin.
const maxControl = 32

// withoutZeros drops zero bytes: what is left of UTF-16 is then US-ASCII, as far as
// it matters.
func withoutZeros(p []byte) []byte {
	n := bytes.IndexByte(p, 0)
	if n < 0 {
		return p
	}
	kept := make([]byte, len(p))
	copy(kept, p[:n])
	for _, c := range p[n:] {
		kept[n] = c
		if c != 0 {
			n++
		}
	}
	return kept[:n]
}
