package policy

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"regexp"
	"slices"
)

// An Identity tells whether a message is one that was seen before.
type Identity struct {
	MessageID string   // as written; where there is none, the Date
	Subject   string   // as written, unfolded
	Content   [32]byte // digest of the body
}

// A Fingerprint takes the identity of a message. Mail clients make new
// boundaries (RFC 2046 section 5.1.1), and new names for pictures in the text
// (RFC 2392), for each try to send the same message. So these are left out of
// the digest of its content, as far as no encoding hides them.
type Fingerprint struct {
	identity   Identity
	hash       hash.Hash
	boundaries []string
	line       []byte // the begin of the line that has not ended yet
	long       bool   // the line is longer than is kept of it
	inHeader   bool   // of a part
	field      []byte // of that header, with its folded lines as far as they have come
}

// boundaryParameter is a boundary in a line of a part's header.
var boundaryParameter = regexp.MustCompile(`(?i)[;\s]boundary\s*=\s*(?:"([^"]+)"|([^";\s]+))`)

// Bounds for what a Fingerprint keeps. Lines and fields that are longer, and
// further boundaries, belong to the content.
const (
	maxKeptLine       = 4096
	maxKeptBoundaries = 64
)

// NewFingerprint begins with the header of a message. The whole body is then
// written to it, in pieces.
func NewFingerprint(raw []byte) *Fingerprint {
	h := parseHeader(raw)
	text := func(kind fieldKind) string {
		return string(bytes.ReplaceAll(bytes.TrimSpace(bytes.Join(h.bodies(kind), nil)), crlf, nil))
	}
	f := &Fingerprint{hash: sha256.New(), boundaries: h.boundaries()}
	f.identity.MessageID, f.identity.Subject = text(kindMessageID), text(kindSubject)
	if f.identity.MessageID == "" {
		f.identity.MessageID = text(kindDate) // a mail server keeps it for all tries
	}
	return f
}

// Write takes the next piece of the body. It never fails.
func (f *Fingerprint) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		eol := bytes.IndexByte(p, '\n') + 1
		if eol == 0 {
			eol = len(p)
		}
		piece := p[:eol]
		p = p[eol:]
		switch ended := piece[len(piece)-1] == '\n'; {
		case f.long:
			f.hash.Write(piece)
			f.long = !ended
		case ended && len(f.line) == 0 && len(piece) <= maxKeptLine:
			f.takeLine(piece)
		case len(f.line)+len(piece) > maxKeptLine:
			f.endField()
			f.hash.Write(f.line)
			f.hash.Write(piece)
			f.line, f.long = f.line[:0], !ended
		default:
			if f.line = append(f.line, piece...); ended {
				f.takeLine(f.line)
				f.line = f.line[:0]
			}
		}
	}
	return n, nil
}

// takeLine takes a whole line, its end included.
func (f *Fingerprint) takeLine(line []byte) {
	closing, delimits := f.delimiter(line)
	switch {
	case delimits:
		f.endField()
		f.inHeader = !closing
		f.hash.Write([]byte("--\r\n"))
	case !f.inHeader:
		f.hash.Write(withoutReferences(line))
	case isBlank(line[0]) && len(f.field)+len(line) <= maxKeptLine: // folded
		f.field = append(f.field, line...)
	default:
		f.endField()
		f.field = append(f.field, line...)
		f.inHeader = len(bytes.TrimSpace(line)) > 0
	}
	if !f.inHeader {
		f.endField()
	}
}

// endField takes a field of a part's header that is complete. It may tell a
// boundary.
func (f *Fingerprint) endField() {
	if name, _, _ := bytes.Cut(f.field, []byte(":")); bytes.EqualFold(name, []byte("Content-ID")) {
		f.field = f.field[:0]
	}
	places := boundaryParameter.FindSubmatchIndex(f.field)
	if places == nil || len(f.boundaries) >= maxKeptBoundaries {
		f.hash.Write(f.field)
		f.field = f.field[:0]
		return
	}
	start, end := places[2], places[3] // in quotes
	if start < 0 {
		start, end = places[4], places[5]
	}
	f.boundaries = append(f.boundaries, string(f.field[start:end]))
	f.hash.Write(f.field[:start])
	f.hash.Write(f.field[end:])
	f.field = f.field[:0]
}

// reference is what names a part from within another one.
var reference = regexp.MustCompile(`cid:[^"'<>()\s]+`)

func withoutReferences(line []byte) []byte {
	if !bytes.Contains(line, []byte("cid:")) { // as mail clients write it
		return line
	}
	return reference.ReplaceAll(line, []byte("cid:"))
}

// delimiter reports a line that parts a body, and whether it is the last one.
func (f *Fingerprint) delimiter(line []byte) (closing, ok bool) {
	rest, ok := bytes.CutPrefix(bytes.TrimRight(line, " \t\r\n"), []byte("--"))
	if !ok {
		return false, false
	}
	if slices.Contains(f.boundaries, string(rest)) {
		return false, true
	}
	rest, closing = bytes.CutSuffix(rest, []byte("--"))
	return closing, closing && slices.Contains(f.boundaries, string(rest))
}

// Identity returns the identity of the message, when all of it was written.
func (f *Fingerprint) Identity() Identity {
	f.endField()
	f.hash.Write(f.line)
	f.line = nil
	f.hash.Sum(f.identity.Content[:0])
	return f.identity
}
