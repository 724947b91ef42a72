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

// A walk goes through the first parts of a body.
type walk struct {
	body  []byte // its start, as far as it is held
	Found []ShownHeader
	More  bool // a part may begin behind it
	Open  bool // a header goes on behind it, or begins there for certain
	Deep  bool // there is more inside than is looked at
}

// The bounds of a walk: parts inside of each other, and headers in all. Mail
// clients make a quarter of that at the most.
const (
	maxWraps   = 16
	MaxHeaders = 32
)

// Copies looks for copies of h in the start of a body. What is wrong with one
// does not matter, but where it ends.
func (h *Header) Copies(body []byte) walk {
	w := walk{body: body}
	if h.Wraps() {
		w.into(h, 0, false, true, maxWraps)
	}
	return w
}

// Wraps reports whether a copy of the header may be in the body.
func (h *Header) Wraps() bool {
	return slices.ContainsFunc(h.MediaTypes(), func(t string) bool { return isMultipart(t) || isMessage(t) })
}

// into looks at what outer says to be at body[at:]. A message there is a copy
// where whole says so, and an attachment otherwise; signed says that nothing in
// it can change (RFC 1847).
func (w *walk) into(outer *Header, at int, signed, whole bool, depth int) {
	types := outer.MediaTypes()
	if slices.ContainsFunc(types, isMultipart) {
		here := slices.Contains(types, "multipart/signed")
		w.parts(outer, at, signed || here, whole && here, depth)
	}
	if slices.ContainsFunc(types, func(t string) bool { return isMessage(t) && (whole || t == legacyDisplay) }) {
		w.message(outer, at, signed, depth)
	}
}

// parts looks into the first part of a multipart. Whatever is wrong with its
// boundary, the first line with two hyphens begins one for some mail client.
func (w *walk) parts(outer *Header, at int, signed, whole bool, depth int) {
	starts, all := firstParts(w.body[at:], outer.Boundaries())
	w.More = w.More || !all
	w.Open = w.Open || signed && len(starts) == 0
	for _, start := range starts {
		w.header(at+start, signed, whole, depth)
	}
}

// message looks at a whole message, or the header of one.
func (w *walk) message(outer *Header, at int, signed bool, depth int) {
	decoded, ok := outer.decoded(w.body[at:])
	if !ok {
		w.header(at, signed, true, depth)
		return
	}
	inner := walk{body: withCRLF(decoded)}
	inner.header(0, true, true, depth)
	w.Found = append(w.Found, inner.Found...)
	w.More, w.Open, w.Deep = w.More || inner.More, w.Open || inner.Open, w.Deep || inner.Deep
}

// withCRLF returns text whose lines may end with LF alone, as beneath an
// encoding they do on many machines, with CRLF.
func withCRLF(text []byte) []byte {
	text = bytes.ReplaceAll(text, CRLF, []byte("\n"))
	return bytes.ReplaceAll(text, []byte("\n"), CRLF)
}

// header takes the header at body[at:], and looks into what it says to follow.
func (w *walk) header(at int, signed, whole bool, depth int) {
	rest := w.body[at:]
	if bytes.HasPrefix(rest, CRLF) {
		return // a part without a header
	}
	if depth == 0 || len(w.Found) == MaxHeaders {
		w.Deep = true
		return
	}
	end := bytes.Index(rest, []byte("\r\n\r\n")) + len("\r\n\r\n")
	if end < len("\r\n\r\n") {
		end, w.More, w.Open = len(rest), true, true
	}
	h := ParseHeader(rest[:end])
	w.Found = append(w.Found, ShownHeader{h, at, signed})
	w.into(&h, at+end, signed, whole, depth-1)
}

// Boundaries returns what may part the body (RFC 2046 section 5.1.1): of two
// parameters or fields, mail clients take the first or the last.
func (h *Header) Boundaries() []string {
	var values []string
	for _, value := range h.Values(ContentType) {
		values = append(values, strings.ReplaceAll(strings.TrimSpace(string(value)), "\r\n", ""))
	}
	if n := len(values); n > 2 {
		values = []string{values[0], values[n-1]}
	}
	all := boundariesIn(values)
	if n := len(all); n > maxCandidates {
		all = append(all[:maxCandidates-1], all[n-1])
	}
	return all
}

// maxCandidates is how many boundaries of one multipart are looked for.
const maxCandidates = 4

// firstParts returns where the first part of a multipart body may begin: behind
// the first line with two hyphens, and behind the first one that each of the
// boundaries makes. all says that each was found.
func firstParts(body []byte, boundaries []string) (starts []int, all bool) {
	left := slices.Clone(boundaries)
	for at := 0; at < len(body); {
		end := lineEnd(body, at)
		line := body[at:end]
		at = end
		if !bytes.HasPrefix(line, []byte("--")) || !bytes.HasSuffix(line, CRLF) {
			continue
		}
		named := slices.Index(left, string(bytes.TrimRight(line[len("--"):], " \t\r\n")))
		if named >= 0 {
			left = slices.Delete(left, named, named+1)
		}
		if named >= 0 || len(starts) == 0 {
			starts = append(starts, at)
		}
		if len(left) == 0 {
			return starts, true
		}
	}
	return starts, false
}

// IsMultipart reports a message with parts.
func (h *Header) IsMultipart() bool {
	return slices.ContainsFunc(h.MediaTypes(), isMultipart)
}
