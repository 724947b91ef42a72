package mail

import (
	"bytes"
	"io"
)

// A Walk goes through the parts of a message (RFC 2046) as its body streams past,
// and tells Listeners of them. It goes by lines, however the pieces are cut: so
// the same bytes always have the same parts.
//
// It is more lenient than the grammar, as mail clients are: what follows the
// end of a multipart may go on with it, a multipart that does not name its
// boundary has the first one that comes, and a part whose header does not end
// properly is text from there on. A message inside is walked through like the
// one it stands in, also beneath a transfer encoding.
type Walk struct {
	listeners []Listener
	bounds    *bounds
	inMessage bool // inside of an attached message
	encoded   bool // that is beneath a transfer encoding

	lines    lineCutter
	open     []level // multiparts, the outermost first
	inHeader bool
	first    bool // no line of the header has come yet
	part     Part
	field    []byte    // a field of part that has not ended
	list     *[]string // where that field belongs
	content  *content  // of the part at hand
}

// A level is one boundary of a multipart that is open.
type level struct {
	boundary  string // "" where it is not known yet
	digest    bool   // its parts are messages (RFC 2046 section 5.1.5)
	inMessage bool
	around    *content // what stands round the parts
}

// bounds is what a Walk and those inside of it have in common.
type bounds struct {
	walks  int  // that are open, one inside of the other
	beyond bool // something is nested too deeply to be followed
}

// What a Walk holds at most. No mail program comes near any of these: a boundary
// has at most 70 characters (RFC 2046 section 5.1.1).
const (
	maxLine     = 16 << 10 // a longer one is passed on in pieces of this length
	maxField    = 8 << 10  // what is more of a field is dropped
	maxBoundary = 1 << 10
	maxLevels   = 32 // multiparts inside of each other
	maxWalks    = 4  // encoded messages inside of each other

	// walkMemory is more than all of it, with what decodes and reads the content
	// of one part.
	walkMemory = 256 << 10
)

// NewWalk begins behind a header. The body is then written to it, in pieces.
func NewWalk(h *Header, listeners ...Listener) *Walk {
	w := newWalk(listeners, &bounds{})
	w.part = h.Part()
	w.startBody()
	w.lines.Write(h.Raw[h.Size:])
	return w
}

func newWalk(listeners []Listener, b *bounds) *Walk {
	b.walks++
	w := &Walk{listeners: listeners, bounds: b}
	w.lines = lineCutter{max: maxLine, line: w.line}
	return w
}

// Write takes the next piece; it cannot fail.
func (w *Walk) Write(piece []byte) (int, error) { return w.lines.Write(piece) }

// Close ends the message, whatever of it is still open.
func (w *Walk) Close() error {
	w.lines.flush()
	w.endPart()
	w.closeLevels(0)
	w.bounds.walks--
	return nil
}

// Beyond reports whether something is nested too deeply to be followed.
func (w *Walk) Beyond() bool { return w.bounds.beyond }

// Memory returns how many bytes the walk may hold at this moment, with what reads
// the content of a part.
func (w *Walk) Memory() int { return w.bounds.walks * walkMemory }

// line takes a line with its line end, or a piece of a long one.
func (w *Walk) line(p []byte, begins bool) {
	switch {
	case begins && w.delimits(p):
	case w.inHeader:
		w.headerLine(p, begins)
	default:
		w.content.Write(p)
	}
}

// delimits reports whether a line begins or ends a part, and does so.
func (w *Walk) delimits(line []byte) bool {
	line, ok := bytes.CutPrefix(line, []byte("--"))
	if !ok {
		return false
	}
	line = bytes.TrimRight(line, " \t\r\n")
	for i := len(w.open) - 1; i >= 0; i-- {
		l := &w.open[i]
		if l.boundary == "" && len(line) > 0 && len(line) <= maxBoundary {
			l.boundary = string(line)
		}
		rest, ok := bytes.CutPrefix(line, []byte(l.boundary))
		if l.boundary == "" || !ok || len(rest) > 0 && string(rest) != "--" {
			continue
		}
		w.delimiter(i, len(rest) > 0)
		return true
	}
	return false
}

// delimiter ends the part at hand, and begins one of level i or goes on round its
// parts.
func (w *Walk) delimiter(i int, ends bool) {
	w.endPart()
	w.closeLevels(i + 1)
	for _, l := range w.listeners {
		l.Delimiter(&w.part)
	}
	if w.inMessage = w.open[i].inMessage; ends {
		w.content = w.open[i].around
	} else {
		w.startHeader(Part{digest: w.open[i].digest})
	}
}

func (w *Walk) startHeader(p Part) {
	w.inHeader, w.first = true, true
	w.part = p
	w.part.InMessage, w.part.Encoded = w.inMessage, w.encoded
}

// headerLine takes a line of a header, or a piece of a long one.
func (w *Walk) headerLine(p []byte, begins bool) {
	text := bytes.TrimRight(p, "\r\n")
	first := w.first
	w.first = false
	switch {
	case !begins || len(text) > 0 && IsBlank(text[0]): // folded
		w.addToField(text)
	case len(text) == 0:
		w.tellHeader(p, begins)
		w.startBody()
		return
	default:
		colon := NameEnd(text)
		if colon < 0 && first && IsMboxFrom(text) {
			return
		}
		if colon < 0 { // not a header, or no more of it
			w.brokenHeader(p)
			return
		}
		w.endField()
		if w.list = w.part.list(KindOf(bytes.TrimRight(text[:colon], " \t"))); w.list != nil {
			w.addToField(text[colon+1:])
		}
	}
	w.tellHeader(p, begins)
}

// brokenHeader ends a header with a line that is no part of it.
func (w *Walk) brokenHeader(line []byte) {
	w.startBody()
	if w.delimits(line) {
		return
	}
	if w.inHeader { // that of a message inside, which has none
		w.startBody()
	}
	w.content.Write(line)
}

func (w *Walk) tellHeader(line []byte, begins bool) {
	for _, l := range w.listeners {
		l.HeaderLine(&w.part, line, begins)
	}
}

// addToField goes on with the field at hand, if it matters.
func (w *Walk) addToField(text []byte) {
	if w.list != nil {
		w.field = append(w.field, text[:min(len(text), maxField-len(w.field))]...)
	}
}

func (w *Walk) endField() {
	if w.list != nil {
		add(w.list, w.field)
	}
	w.list, w.field = nil, w.field[:0]
}

// endPart ends the part at hand. Where its header has not ended, it has no
// content.
func (w *Walk) endPart() {
	if w.inHeader {
		w.endField()
		w.content = w.tell()
		w.inHeader = false
	}
	if len(w.open) == 0 || w.content != w.open[len(w.open)-1].around {
		w.content.Close()
	}
}

// closeLevels closes multiparts from level n on.
func (w *Walk) closeLevels(n int) {
	for len(w.open) > n {
		last := len(w.open) - 1
		if last == 0 || w.open[last].around != w.open[last-1].around { // else a boundary more of the same
			w.open[last].around.Close()
		}
		w.open = w.open[:last]
	}
}

// startBody is called when the header of a part has ended.
func (w *Walk) startBody() {
	w.endField()
	w.inHeader = false
	switch w.part.Form = w.part.form(); w.part.Form {
	case Multipart:
		w.content = w.tell()
		for _, boundary := range w.part.boundaries() {
			if len(w.open) == maxLevels {
				w.bounds.beyond = true
				break
			}
			w.open = append(w.open, level{boundary, w.part.IsA("multipart/digest"), w.inMessage, w.content})
		}
	case Message:
		w.startMessage()
	default:
		w.content = w.readings(nil)
	}
}

// startMessage begins a message inside. One that is encoded, or may be, has a Walk of
// its own.
func (w *Walk) startMessage() {
	if ways := w.part.undoings(); len(ways) > 1 || len(ways[0]) > 0 {
		w.content = w.readings(w.inside)
		return
	}
	w.tell().Close()
	w.inMessage = true
	w.startHeader(Part{OfMessage: true})
}

// inside is a Walk through an encoded message, or nil where too many are open.
func (w *Walk) inside() io.WriteCloser {
	if w.bounds.walks == maxWalks {
		w.bounds.beyond = true
		return nil
	}
	inner := newWalk(w.listeners, w.bounds)
	inner.inMessage, inner.encoded = true, true
	inner.startHeader(Part{OfMessage: true})
	return inner
}
