package policy

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"io"
	"regexp"

	"sendguard/policy/mail"
)

// An Identity tells whether a message is one that was seen before.
type Identity struct {
	MessageID string   // as written; where there is none, the Date
	Subject   string   // as written, unfolded
	Content   [32]byte // digest of the body
}

// A fingerprint listens to a walk and takes the identity of the message. Mail
// clients make new boundaries (RFC 2046 section 5.1.1) for each try to send the same
// message, and new names for the pictures in its text: the one that HTML refers to
// (RFC 2392), and that of the file. They sign it anew. So all this is left out of the
// digest of its content. A message that is attached beneath an encoding is content.
type fingerprint struct {
	identity Identity
	hash     hash.Hash
	header   []byte // of a part, as far as it has come
}

// maxKeptHeader is how much of a part's header is looked at. What is more of it
// belongs to the content.
const maxKeptHeader = 16 << 10

func newFingerprint(h *mail.Header) *fingerprint {
	text := func(kind mail.Kind) string {
		return string(bytes.ReplaceAll(bytes.TrimSpace(bytes.Join(h.Values(kind), nil)), mail.CRLF, nil))
	}
	f := &fingerprint{identity: Identity{MessageID: text(mail.MessageID), Subject: text(mail.Subject)}, hash: sha256.New()}
	if f.identity.MessageID == "" {
		f.identity.MessageID = text(mail.Date) // a mail server keeps it for all tries
	}
	return f
}

// Delimiter stands for the line, whatever the boundary in it.
func (f *fingerprint) Delimiter(p *mail.Part) {
	if !p.Encoded {
		f.endHeader()
		f.hash.Write([]byte("--\r\n"))
	}
}

// HeaderLine keeps the header of a part until it is complete.
func (f *fingerprint) HeaderLine(p *mail.Part, line []byte, _ bool) {
	if p.Encoded {
		return
	}
	if len(f.header)+len(line) > maxKeptHeader {
		f.endHeader()
	}
	f.header = append(f.header, line...)
}

// signatures are the types of the second part of a multipart/signed (RFC 3156 section 5,
// RFC 8551 section 3.5.3).
var signatures = []string{"application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature"}

// Content takes what stands behind a header. The references in HTML are looked for
// beneath its transfer encoding.
func (f *fingerprint) Content(p *mail.Part) (to io.WriteCloser, decoded bool) {
	if p.Encoded || p.Again {
		return nil, false
	}
	f.endHeader()
	switch {
	case p.IsA("text/html"):
		return &referenceFilter{to: f.hash}, true
	case p.IsA(signatures...):
		return nil, false
	}
	return &referenceFilter{to: f.hash}, false
}

// Where a field of a part's header has what is new with each try: the boundary
// and, in a part that others refer to, the name of its file (RFC 2183 section
// 2.3, and in pieces RFC 2231).
var (
	newBoundary = regexp.MustCompile(`(?i)[;\s]boundary\s*=\s*(?:"([^"]*)"|([^";\s]+))`)
	newName     = regexp.MustCompile(`(?i)[;\s](?:boundary|(?:file)?name[*\d]*)\s*=\s*(?:"([^"]*)"|([^";\s]+))`)
)

// endHeader takes the header of a part that is complete, less what is new with
// each try.
func (f *fingerprint) endHeader() {
	if len(f.header) == 0 {
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
	f.header = f.header[:0]
}

// Identity returns the identity of the message, when the walk is at its end.
func (f *fingerprint) Identity() Identity {
	f.endHeader()
	f.hash.Sum(f.identity.Content[:0])
	return f.identity
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
