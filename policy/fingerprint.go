package policy

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"io"
	"regexp"
	"slices"

	"sendguard/policy/mail"
)

// An Identity tells whether a message is one that was seen before.
type Identity struct {
	MessageID string   // as written; where there is none, the Date
	Subject   string   // as written, unfolded
	Content   [32]byte // digest of the body
}

// A Fingerprint takes the identity of a message. Mail clients make new
// boundaries (RFC 2046 section 5.1.1) for each try to send the same message, and
// new names for the pictures in its text: the one that HTML refers to (RFC 2392),
// and that of the file. They sign it anew. So all this is left out of the digest of
// its content.
type Fingerprint struct {
	identity   Identity
	hash       hash.Hash
	lines      mail.LineCutter
	boundaries []string
	inHeader   bool   // of a part
	header     []byte // of it, as far as it has come
	content    io.WriteCloser
}

// Bounds for what a Fingerprint keeps. Delimiters that are longer, headers, and
// further boundaries, belong to the content.
const (
	maxKeptLine       = 4096
	maxKeptHeader     = 16 << 10
	maxKeptBoundaries = 64
)

// NewFingerprint begins with the header of a message. The whole body is then
// written to it, in pieces.
func NewFingerprint(raw []byte) *Fingerprint {
	h := mail.ParseHeader(raw)
	text := func(kind mail.Kind) string {
		return string(bytes.ReplaceAll(bytes.TrimSpace(bytes.Join(h.Values(kind), nil)), mail.CRLF, nil))
	}
	f := &Fingerprint{hash: sha256.New(), boundaries: h.Boundaries()}
	f.lines = mail.LineCutter{Max: maxKeptLine, Line: f.line}
	f.identity.MessageID, f.identity.Subject = text(mail.MessageID), text(mail.Subject)
	if f.identity.MessageID == "" {
		f.identity.MessageID = text(mail.Date) // a mail server keeps it for all tries
	}
	f.content = f.reader(&h)
	return f
}

// Write takes the next piece of the body. It never fails.
func (f *Fingerprint) Write(p []byte) (int, error) { return f.lines.Write(p) }

// line takes a line, its end included, or a piece of a long one.
func (f *Fingerprint) line(p []byte, begins bool) {
	closing, delimits := f.delimiter(p)
	switch {
	case begins && delimits:
		f.endPart()
		f.hash.Write([]byte("--\r\n"))
		f.inHeader, f.content = !closing, f.reader(&mail.Header{})
	case !f.inHeader:
		f.content.Write(p)
	default:
		f.header = append(f.header, p...)
		if begins && len(bytes.TrimRight(p, "\r\n")) == 0 || len(f.header) > maxKeptHeader {
			f.endHeader()
		}
	}
}

func (f *Fingerprint) endPart() {
	f.endHeader()
	f.content.Close()
}

// Where a field of a part's header has what is new with each try: the boundary
// and, in a part that others refer to, the name of its file (RFC 2183 section
// 2.3, and in pieces RFC 2231).
var (
	newBoundary = regexp.MustCompile(`(?i)[;\s]boundary\s*=\s*(?:"([^"]*)"|([^";\s]+))`)
	newName     = regexp.MustCompile(`(?i)[;\s](?:boundary|(?:file)?name[*\d]*)\s*=\s*(?:"([^"]*)"|([^";\s]+))`)
)

// endHeader takes the header of a part that is complete.
func (f *Fingerprint) endHeader() {
	if !f.inHeader {
		return
	}
	h := mail.ParseHeader(f.header)
	again := newBoundary
	if h.Has(mail.ContentID) {
		again = newName
	}
	at := 0
	without := func(start, end int) {
		f.hash.Write(f.header[at:start])
		at = end
	}
	for _, field := range h.Fields {
		switch field.Kind {
		case mail.ContentID:
			without(field.Start, field.End)
		case mail.ContentType, mail.ContentDisposition:
			for _, m := range again.FindAllSubmatchIndex(f.header[field.Start:field.End], -1) {
				without(field.Start+max(m[2], m[4]), field.Start+max(m[3], m[5])) // quoted or not
			}
		}
	}
	f.hash.Write(f.header[at:])
	if boundaries := h.Boundaries(); len(f.boundaries)+len(boundaries) <= maxKeptBoundaries {
		f.boundaries = append(f.boundaries, boundaries...)
	}
	f.content = f.reader(&h)
	f.inHeader, f.header = false, f.header[:0]
}

// signatures are the types of the second part of a multipart/signed (RFC 3156 section 5,
// RFC 8551 section 3.5.3).
var signatures = []string{"application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature"}

// reader is for the content behind a header. The references in HTML are looked
// for beneath its transfer encoding.
func (f *Fingerprint) reader(h *mail.Header) io.WriteCloser {
	references := &referenceFilter{to: f.hash}
	types := h.MediaTypes()
	switch {
	case slices.Contains(types, "text/html"):
		return (&mail.PartHeader{Encodings: h.Encodings()}).TransferDecoded(references)
	case slices.ContainsFunc(types, func(t string) bool { return slices.Contains(signatures, t) }):
		references.to = io.Discard
	}
	return references
}

// A referenceFilter passes text on without the names of the parts that it
// refers to: what follows cid: (RFC 2392), as mail clients write it.
type referenceFilter struct {
	to     io.Writer
	inside bool   // of a name
	held   []byte // what may be the start of a reference
}

var reference = []byte("cid:")

func (r *referenceFilter) Write(p []byte) (int, error) {
	rest := p
	if len(r.held) > 0 {
		rest = append(r.held, p...)
	}
	for {
		if r.inside {
			end := bytes.IndexAny(rest, "\"'<>() \t\r\n")
			if end < 0 {
				rest = nil
				break
			}
			rest, r.inside = rest[end:], false
		}
		n := bytes.Index(rest, reference)
		if n < 0 {
			break
		}
		r.to.Write(rest[:n+len(reference)])
		rest, r.inside = rest[n+len(reference):], true
	}
	begun := len(reference) - 1
	for !bytes.HasSuffix(rest, reference[:begun]) {
		begun--
	}
	r.to.Write(rest[:len(rest)-begun])
	r.held = append([]byte(nil), reference[:begun]...)
	return len(p), nil
}

func (r *referenceFilter) Close() error {
	r.to.Write(r.held)
	r.held, r.inside = nil, false
	return nil
}

// delimiter reports a line that separates a body, and whether it is the last one.
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
	f.lines.Flush()
	f.endPart()
	f.hash.Sum(f.identity.Content[:0])
	return f.identity
}
