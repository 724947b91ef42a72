package mail

import (
	"bytes"
	"slices"
	"strings"
)

// A message may hold copies of its header that mail clients show: in the header
// of its first part (RFC 9788, and protected-headers="v1" before it), or as a
// whole message in its place (message/rfc822, RFC 8551 section 3.1). Their
// addresses count, and a rewrite changes them too, where it can.

// A ShownHeader is a header that recipients may be shown: that of the message,
// or a copy of it in the body.
type ShownHeader struct {
	Header
	At     int  // where a copy stands in the body
	Frozen bool // it cannot change: signed, or written in another way
}

// FirstParts are the headers that stand first in the parts of a message. Mail
// clients differ in where the first part begins, and a copy of the header counts
// that one of them shows: so unlike a Walk, which reads each line in one way, this
// follows every way, through a start of the body that is held. Places in it are
// what a rewrite needs.
type FirstParts struct {
	Found []ShownHeader
	More  bool // a part may begin behind what was looked at
	Cut   bool // a header goes on behind it, or the first part begins there
	Deep  bool // there is more inside than is looked at

	outer  *Part
	body   []byte
	last   bool           // no more of the body comes
	parsed map[int]Header // by where they stand in the body
	inside map[encodedAt]*FirstParts
}

// The bounds: parts inside of each other, and headers in all. Mail clients make
// a quarter of that at the most.
const (
	maxDepth   = 16
	maxHeaders = 32
)

// parse is ParseHeader, but for a test that counts.
var parse = ParseHeader

// Wraps reports whether a header says that a further one may be in the body.
func (h *Header) Wraps() bool {
	return slices.ContainsFunc(h.MediaTypes(), func(t string) bool { return IsMultipart(t) || IsMessage(t) })
}

// IsMultipart reports a message with parts.
func (h *Header) IsMultipart() bool { return slices.ContainsFunc(h.MediaTypes(), IsMultipart) }

// FirstParts looks for the first parts of a message. What is wrong with a header
// there does not matter, but where it ends.
func (h *Header) FirstParts() *FirstParts {
	p := h.Part()
	return &FirstParts{outer: &p, More: h.Wraps()}
}

// Look looks at the start of the body. It may be called again with more of it,
// until there is none or More is false.
func (f *FirstParts) Look(body []byte, last bool) {
	f.begin(body, last)
	f.into(f.outer, 0, false, true, maxDepth)
}

func (f *FirstParts) begin(body []byte, last bool) {
	f.body, f.last = body, last
	f.Found, f.More, f.Cut, f.Deep = f.Found[:0], false, false, false
}

// into looks at what outer says to be at body[at:]. A message there is a copy
// where whole says so, and an attachment otherwise; signed says that nothing in
// it can change (RFC 1847).
func (f *FirstParts) into(outer *Part, at int, signed, whole bool, depth int) {
	types := outer.MediaTypes()
	if slices.ContainsFunc(types, IsMultipart) {
		here := slices.Contains(types, "multipart/signed")
		f.parts(outer, at, signed || here, whole && here, depth)
	}
	if slices.ContainsFunc(types, func(t string) bool { return IsMessage(t) && (whole || t == legacyDisplay) }) {
		f.message(outer, at, signed, depth)
	}
}

// parts looks into the first part of a multipart. Whatever is wrong with its
// boundary, the first line with two hyphens begins one for some mail client.
func (f *FirstParts) parts(outer *Part, at int, signed, whole bool, depth int) {
	starts, named, all := firstStarts(f.body[at:], outer.candidates())
	f.More = f.More || !all
	f.Cut = f.Cut || !named
	for _, start := range starts {
		f.header(at+start, signed, whole, depth)
	}
}

// message looks at a whole message, or the header of one.
func (f *FirstParts) message(outer *Part, at int, signed bool, depth int) {
	for _, names := range outer.undoings() {
		if len(names) == 0 {
			f.header(at, signed, true, depth)
			continue
		}
		inner := f.inner(encodedAt{at, strings.Join(names, " ")})
		inner.begin(withCRLF(decode(f.body[at:], names, f.last)), f.last)
		inner.header(0, true, true, depth)
		f.Found = append(f.Found, inner.Found...)
		f.More, f.Cut, f.Deep = f.More || inner.More, f.Cut || inner.Cut, f.Deep || inner.Deep
	}
}

// encodedAt is a message in the body, by its place and transfer encodings: two
// headers that end at one place may name different ones.
type encodedAt struct {
	at    int
	names string
}

// inner is what looks into an encoded message.
func (f *FirstParts) inner(key encodedAt) *FirstParts {
	if f.inside == nil {
		f.inside = map[encodedAt]*FirstParts{}
	}
	if f.inside[key] == nil {
		f.inside[key] = &FirstParts{}
	}
	return f.inside[key]
}

// withCRLF returns text whose lines may end with LF alone, as beneath an
// encoding they do on many machines, with CRLF.
func withCRLF(text []byte) []byte {
	text = bytes.ReplaceAll(text, CRLF, []byte("\n"))
	return bytes.ReplaceAll(text, []byte("\n"), CRLF)
}

// header takes the header at body[at:], and looks into what it says to follow.
func (f *FirstParts) header(at int, signed, whole bool, depth int) {
	rest := f.body[at:]
	if bytes.HasPrefix(rest, CRLF) {
		return // a part without a header
	}
	if depth == 0 || len(f.Found) == maxHeaders {
		f.Deep = true
		return
	}
	end := bytes.Index(rest, []byte("\r\n\r\n")) + len("\r\n\r\n")
	if end < len("\r\n\r\n") {
		end, f.More, f.Cut = len(rest), true, true
		if !f.last {
			return
		}
	}
	h := f.parse(at, end)
	f.Found = append(f.Found, ShownHeader{h, at, signed})
	inside := h.Part()
	f.into(&inside, at+end, signed, whole, depth-1)
}

// parse parses the header at body[at:], unless an earlier look did.
func (f *FirstParts) parse(at, size int) Header {
	h, ok := f.parsed[at]
	if !ok {
		h = parse(f.body[at : at+size])
		if f.parsed == nil {
			f.parsed = map[int]Header{}
		}
		f.parsed[at] = h
	}
	h.Raw = f.body[at : at+size] // an earlier look may have been at other memory
	return h
}

// candidates are the boundaries whose first parts are looked for.
func (p *Part) candidates() []string {
	all := p.namedBoundaries()
	if n := len(all); n > maxCandidates {
		all = append(all[:maxCandidates-1], all[n-1])
	}
	return all
}

const maxCandidates = 4

// firstStarts returns where the first part of a multipart body may begin: behind
// the first line with two hyphens, and behind the first one that each of the
// boundaries makes. named says that one of these was found, or any line where there
// are none; all says that each was.
func firstStarts(body []byte, boundaries []string) (starts []int, named, all bool) {
	left := slices.Clone(boundaries)
	for at := 0; at < len(body); {
		end := lineEnd(body, at)
		line := body[at:end]
		at = end
		if !bytes.HasPrefix(line, []byte("--")) || !bytes.HasSuffix(line, CRLF) {
			continue
		}
		n := slices.Index(left, string(bytes.TrimRight(line[len("--"):], " \t\r\n")))
		if n >= 0 {
			left = slices.Delete(left, n, n+1)
		}
		if n >= 0 || len(starts) == 0 {
			starts = append(starts, at)
		}
		if len(left) == 0 {
			return starts, true, true
		}
	}
	return starts, len(left) < len(boundaries), false
}
