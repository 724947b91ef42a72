package body

import (
	"bytes"
	"html"

	"sendguard/policy/mail"
)

// A textScanner counts the addresses in text, line by line. A line that is too
// long to be held is read in pieces that are cut between words.
type textScanner struct {
	scan   *Counter
	html   bool // the lines are as in the source, with character references, and ended by the caller
	header bool // they are the value of a header field
	line   []byte
	goesOn bool // line is not the start of one
	ids    idSkipper
	hashes []uint64 // of the line at hand
}

const (
	maxTextLine = 4 << 10
	// maxAddress is what of a long word stays for the next piece: more than an
	// address has (RFC 5321 section 4.5.3.1).
	maxAddress = 320
)

// Write takes text, cut anywhere; it cannot fail.
func (t *textScanner) Write(text []byte) (int, error) {
	for p := withoutZeros(text); len(p) > 0; {
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
	return nil
}

// text reads a line, or a piece of one.
func (t *textScanner) text(line []byte) {
	t.hashes = t.hashes[:0]
	switch {
	case t.scan.found.n > MaxCount: // it counts no further
		return
	case t.header:
		mail.ScanAddresses(line, func(local, domain []byte) { t.note(local, domain, false) })
		t.add(t.hashes)
		return
	case bytes.IndexByte(line, '@') >= 0 || t.html && bytes.IndexByte(line, '&') >= 0:
	case !t.ids.inField && bytes.IndexByte(line, ':') < 0:
		return
	}
	hash := hashAs(line, t.html, t.goesOn, t.scan.inside > 0)
	place, known := t.scan.recent.text(hash)
	inField := t.ids.inField // where a line means something else
	if known && !inField {
		return
	}
	if t.search(line); !inField && !t.ids.inField {
		*place = hash
	}
}

// search looks for addresses in a line.
func (t *textScanner) search(line []byte) {
	if t.html {
		if line = unwrap(line); len(bytes.TrimSpace(line)) == 0 { // only the source has it
			return
		}
	}
	line = t.ids.skip(line, !t.goesOn)
	search(line, t.note)
	shown := t.hashes
	if bytes.IndexByte(line, seam) >= 0 {
		search(bytes.ReplaceAll(line, oneSeam, nil), t.note)
		if joined := t.hashes[len(shown):]; len(joined) >= len(shown) {
			shown = joined
		}
	}
	t.add(shown)
}

// note remembers an address, if it counts.
func (t *textScanner) note(local, domain []byte, bare bool) {
	if hash := t.scan.candidate(local, domain, bare); hash != 0 {
		t.hashes = append(t.hashes, hash)
	}
}

func (t *textScanner) add(hashes []uint64) {
	if t.scan.bounds.Over() && t.scan.inside == 0 { // inside, it had come before
		return
	}
	for _, hash := range hashes {
		t.scan.found.add(hash, t.scan.inside > 0)
	}
}

// A seam stands in a line of HTML or XML where a tag may or may not part two words. It is
// among the bytes that end a word. Of both readings of a line, the one that shows more
// addresses counts: some people write ann<b>@</b>example.org, and lists have their
// addresses in <span> beside each other.
const seam = 0x1f

var oneSeam = []byte{seam}
