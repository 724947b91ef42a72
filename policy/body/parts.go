package body

import (
	"bytes"
	"io"

	"sendguard/policy/mail"
)

// A partReader takes a message apart into its parts (RFC 2046) as it streams
// past, and has those read that show addresses. It goes by lines, however the
// pieces are cut: so the same bytes always show the same.
//
// It is more lenient than the grammar, as mail clients are: what follows the
// end of a multipart may go on with it, a multipart that does not name its
// boundary has the first one that comes, and a part whose header does not end
// properly is text from there on. What stands round the parts is text, too.
type partReader struct {
	scan     *Counter
	attached bool // inside of an attached message, where everything counts
	stuffed  bool

	lines mail.LineCutter

	open     []boundary // multiparts, the outermost first
	inHeader bool
	first    bool // no line of the header has come yet
	part     mail.PartHeader
	field    []byte         // a field of part that has not ended
	shown    io.WriteCloser // a field of an attached message that shows addresses
	content  io.WriteCloser // nil where it does not count
}

// A boundary separates the parts of a multipart.
type boundary struct {
	text     string // "" where it is not known yet
	digest   bool   // its parts are messages (RFC 2046 section 5.1.5)
	attached bool
}

func newPartReader(s *Counter, attached bool) *partReader {
	s.readers++
	r := &partReader{scan: s, attached: attached}
	r.lines = mail.LineCutter{Max: mail.MaxLine, Line: r.line}
	r.startHeader(false)
	return r
}

// Write takes the next piece; it cannot fail.
func (r *partReader) Write(piece []byte) (int, error) { return r.lines.Write(piece) }

// Close ends the message, whatever of it is still open.
func (r *partReader) Close() error {
	r.lines.Flush()
	r.endField()
	r.endContent()
	r.scan.readers--
	return nil
}

// line takes a line with its line end, or a piece of a long one.
func (r *partReader) line(p []byte, begins bool) {
	if begins && r.stuffed && p[0] == '.' {
		p = p[1:]
	}
	switch {
	case len(p) == 0:
	case begins && r.delimits(p):
	case r.inHeader:
		r.headerLine(p, begins)
	case r.content != nil:
		r.content.Write(p)
	}
}

// delimits reports whether a line begins or ends a part, and does so.
func (r *partReader) delimits(line []byte) bool {
	line, ok := bytes.CutPrefix(line, []byte("--"))
	if !ok {
		return false
	}
	line = bytes.TrimRight(line, " \t\r\n")
	for i := len(r.open) - 1; i >= 0; i-- {
		b := &r.open[i]
		if b.text == "" && len(line) > 0 && len(line) <= mail.MaxBoundary {
			b.text = string(line)
		}
		rest, ok := bytes.CutPrefix(line, []byte(b.text))
		if b.text == "" || !ok || len(rest) > 0 && string(rest) != "--" {
			continue
		}
		r.endField()
		r.endContent()
		r.open, r.attached = r.open[:i+1], b.attached
		if len(rest) > 0 {
			r.inHeader = false
			r.content = r.surroundings()
			return true
		}
		r.startHeader(b.digest)
		return true
	}
	return false
}

func (r *partReader) startHeader(isMessage bool) {
	r.inHeader, r.first = true, true
	r.part = mail.PartHeader{Digest: isMessage}
}

// headerLine takes a line of a header, or a piece of a long one.
func (r *partReader) headerLine(p []byte, begins bool) {
	text := bytes.TrimRight(p, "\r\n")
	first := r.first
	r.first = false
	switch {
	case !begins || len(text) > 0 && mail.IsBlank(text[0]): // folded
		r.addToField(text)
	case len(text) == 0:
		r.endField()
		r.startBody()
	case first && mail.IsMboxFrom(text):
	default:
		r.endField()
		colon := mail.NameEnd(text)
		if colon < 0 { // not a header, or no more of it
			r.startBody()
			if r.delimits(p) {
				return
			}
			if r.inHeader {
				r.content, r.inHeader = r.surroundings(), false
			}
			if r.content != nil {
				r.content.Write(p)
			}
			return
		}
		switch name := bytes.TrimRight(text[:colon], " \t"); {
		case r.part.Wants(name):
			r.addToField(text)
		case r.part.IsMessage && mail.HoldsAddresses[mail.KindOf(name)]:
			r.shown = &textScanner{scan: r.scan, header: true}
			r.addToField(text[colon+1:])
		}
	}
}

// addToField goes on with the field at hand, if it matters.
func (r *partReader) addToField(text []byte) {
	switch {
	case r.shown != nil:
		r.shown.Write(text)
	case len(r.field) > 0 || mail.NameEnd(text) > 0 && !mail.IsBlank(text[0]):
		r.field = append(r.field, text[:min(len(text), mail.MaxField-len(r.field))]...)
	}
}

func (r *partReader) endField() {
	if r.shown != nil {
		r.shown.Close()
		r.shown = nil
	}
	if len(r.field) > 0 {
		r.part.Add(r.field)
		r.field = r.field[:0]
	}
}

func (r *partReader) endContent() {
	if r.content != nil {
		r.content.Close()
		r.content = nil
	}
}

// startBody is called when the header of a part has ended.
func (r *partReader) startBody() {
	r.inHeader = false
	part := r.part
	switch part.Kind() {
	case mail.PartMultipart:
		for _, b := range part.Boundaries() {
			if len(r.open) == mail.MaxBoundaries {
				r.scan.beyond = true
				break
			}
			r.open = append(r.open, boundary{b, part.Digests(), r.attached})
		}
		r.content = r.surroundings()
	case mail.PartMessage:
		r.startMessage(&part)
	case mail.PartText:
		r.content = part.Decoded(r.text(&part))
	case mail.PartHTML:
		text := r.text(&part)
		text.html = true
		r.content = part.Decoded(&htmlScanner{text: text})
	}
}

// startMessage begins to read an attached message. One that is encoded is read
// on its own.
func (r *partReader) startMessage(part *mail.PartHeader) {
	if part.Encoding() == "" {
		r.attached = true
		r.startHeader(false)
		r.part.IsMessage = true
		return
	}
	if r.scan.readers == mail.MaxReaders {
		r.scan.beyond = true
		return
	}
	inner := newPartReader(r.scan, true)
	inner.part.IsMessage = true
	r.content = part.TransferDecoded(inner)
}

// text is for the text of a part. In the message's own text, what a reply
// quotes does not count.
func (r *partReader) text(part *mail.PartHeader) *textScanner {
	t := &textScanner{scan: r.scan, utf7: part.IsUTF7()}
	if !r.attached && !part.IsAttachment() {
		t.reply = &replyFilter{found: &r.scan.found}
	}
	return t
}

// surroundings is for what stands before, between and behind parts.
func (r *partReader) surroundings() io.WriteCloser { return &textScanner{scan: r.scan} }
