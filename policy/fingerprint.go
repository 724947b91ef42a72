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
	MessageID string   // as written, "" where there is none
	Subject   string   // as written, unfolded
	Content   [32]byte // digest of the body
}

// A Fingerprint takes the identity of a message. Mail clients make new
// boundaries (RFC 2046 section 5.1.1) for each try to send the same message, so
// these are left out of the digest of its content.
type Fingerprint struct {
	identity   Identity
	hash       hash.Hash
	boundaries []string
	line       []byte // the begin of the line that has not ended yet
	long       bool   // the line is longer than is kept of it
	inHeader   bool   // of a part
}

// boundaryParameter is a boundary in a line of a part's header.
var boundaryParameter = regexp.MustCompile(`(?i)[;\s]boundary\s*=\s*(?:"([^"]+)"|([^";\s]+))`)

// Bounds for what a Fingerprint keeps. Lines of a part's header that are longer,
// and further boundaries, belong to the content.
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
		case ended && len(f.line) == 0:
			f.takeLine(piece)
		case len(f.line)+len(piece) > maxKeptLine:
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
	if closing, ok := f.delimiter(line); ok {
		f.inHeader = !closing
		f.hash.Write([]byte("--\r\n"))
		return
	}
	if f.inHeader {
		f.inHeader = len(bytes.TrimSpace(line)) > 0
		if places := boundaryParameter.FindSubmatchIndex(line); places != nil {
			f.takeBoundary(line, places)
			return
		}
	}
	f.hash.Write(line)
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

// takeBoundary takes a line of a part's header that tells a boundary.
func (f *Fingerprint) takeBoundary(line []byte, places []int) {
	start, end := places[2], places[3] // in quotes
	if start < 0 {
		start, end = places[4], places[5]
	}
	if len(f.boundaries) >= maxKeptBoundaries {
		f.hash.Write(line)
		return
	}
	f.boundaries = append(f.boundaries, string(line[start:end]))
	f.hash.Write(line[:start])
	f.hash.Write(line[end:])
}

// Identity returns the identity of the message, when all of it was written.
func (f *Fingerprint) Identity() Identity {
	f.hash.Write(f.line)
	f.line = nil
	f.hash.Sum(f.identity.Content[:0])
	return f.identity
}
