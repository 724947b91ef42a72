package body

import (
	"bytes"
	"slices"

	"golang.org/x/net/html"

	"sendguard/policy/mail"
)

// A textScanner counts the addresses in text, line by line. A line that is too
// long to be held is read in pieces that are cut between words.
type textScanner struct {
	scan   *Counter
	reply  *replyFilter // nil: everything counts
	html   bool         // the lines are as in the source, with character references, and ended by the caller
	header bool         // they are the value of a header field
	utf7   bool
	line   []byte
	goesOn bool // line is not the start of one
	plain  []byte
}

const (
	maxTextLine = 8 << 10
	// maxAddress is what of a long word stays for the next piece: more than an
	// address has (RFC 5321 section 4.5.3.1).
	maxAddress = 320
)

// Write takes text, cut anywhere; it cannot fail. Zero bytes are dropped: what
// is left of UTF-16 is then US-ASCII, as far as it matters.
func (t *textScanner) Write(text []byte) (int, error) {
	p := text
	if bytes.IndexByte(p, 0) >= 0 {
		t.plain = append(t.plain[:0], p...)
		p = slices.DeleteFunc(t.plain, func(c byte) bool { return c == 0 })
	}
	for len(p) > 0 {
		n := bytes.IndexByte(p, '\n') + 1
		switch {
		case t.html: // where its lines end, the tags say
			n = 0
		case n > 0 && n <= maxTextLine && len(t.line) == 0 && !t.goesOn:
			t.text(p[:n])
			p = p[n:]
			continue
		}
		if n == 0 {
			n = len(p)
		}
		n = min(n, maxTextLine-len(t.line))
		t.line = append(t.line, p[:n]...)
		switch {
		case !t.html && p[n-1] == '\n':
			t.endLine()
		case len(t.line) == maxTextLine:
			t.spill()
		}
		p = p[n:]
	}
	return len(text), nil
}

// unwrap makes one line of the lines of an HTML source, with its character
// references resolved. It changes what it was given.
func unwrap(source []byte) []byte {
	for i, c := range source {
		if c == '\r' || c == '\n' {
			source[i] = ' '
		}
	}
	if bytes.IndexByte(source, '&') < 0 {
		return source
	}
	return []byte(html.UnescapeString(string(source)))
}

// endLine ends the line at hand.
func (t *textScanner) endLine() {
	if len(t.line) > 0 {
		t.text(t.line)
	}
	t.line, t.goesOn = t.line[:0], false
}

// spill reads what there is of a long line, up to the last word.
func (t *textScanner) spill() {
	separators := textDelimiters
	switch {
	case t.html:
		separators = " \t\r\n,<>" // a semicolon ends a character reference
	case t.header:
		separators = " \t,;<>"
	}
	cut := bytes.LastIndexAny(t.line, separators) + 1
	rest := cut
	if cut == 0 {
		cut, rest = len(t.line), len(t.line)-maxAddress
	}
	t.text(t.line[:cut])
	t.line = append(t.line[:0], t.line[rest:]...)
	t.goesOn = true
}

// Close ends the text.
func (t *textScanner) Close() error {
	t.endLine()
	if t.reply != nil {
		t.reply.commit()
	}
	return nil
}

// text reads a line, or a piece of one.
func (t *textScanner) text(line []byte) {
	if t.utf7 {
		line = mail.DecodeUTF7(line)
	}
	if t.html {
		line = unwrap(line)
	}
	add := t.scan.found.add
	if t.reply != nil {
		switch t.reply.line(line, !t.goesOn, t.html) {
		case linePending:
			add = t.reply.hold
		case lineQuoted:
			return
		case lineOwn:
			t.reply.commit()
		}
	}
	if bytes.IndexByte(line, '@') < 0 && !t.header {
		return
	}
	emit := func(local, domain []byte) {
		if hash := t.scan.hash(local, domain); hash != 0 {
			add(hash)
		}
	}
	switch {
	case t.header:
		mail.ScanAddresses(line, emit)
	case !isMessageID(line):
		scanText(line, emit)
	}
	if t.reply != nil && len(t.reply.pending) > maxPending {
		t.reply.commit()
	}
}

// messageIDs are the fields that hold what looks like addresses.
var messageIDs = []string{"message-id", "in-reply-to", "references", "content-id", "resent-message-id"}

// isMessageID reports a line that names messages or parts, in angle brackets.
func isMessageID(line []byte) bool {
	colon := bytes.IndexByte(line[:min(len(line), 32)], ':')
	if colon < 0 || !bytes.HasPrefix(bytes.TrimLeft(line[colon+1:], " \t"), []byte("<")) {
		return false
	}
	name := bytes.Trim(line[:colon], " \t>*")
	return slices.ContainsFunc(messageIDs, func(id string) bool { return bytes.EqualFold(name, []byte(id)) })
}
