package policy

import (
	"bytes"
	"slices"
	"strings"
)

// A message may hold copies of its header that mail clients show: in the header
// of its first part (RFC 9788, and protected-headers="v1" before it), or as a
// whole message in its place (message/rfc822, RFC 8551 section 3.1). Their
// addresses count, and a rewrite changes them too, where it can.

// A shownHeader is a header that recipients may be shown: that of the message,
// or a copy of it in the body.
type shownHeader struct {
	header
	at    int  // where a copy stands in the body
	fixed bool // it cannot change: signed, or written in another way
}

// A walk goes through the first parts of a body.
type walk struct {
	body  []byte // its begin, at most MaxBody
	found []shownHeader
	more  bool // a part may begin behind it
	open  bool // a header goes on behind it, or begins there for certain
	deep  bool // there is more inside than is looked at
}

// The bounds of a walk: parts inside of each other, and headers in all. Mail
// clients make a quarter of that at the most.
const (
	maxWraps   = 16
	maxHeaders = 32
)

// copies looks for copies of h in the begin of a body. What is wrong with one
// does not matter, but where it ends.
func (h *header) copies(body []byte) walk {
	w := walk{body: body}
	if h.wraps() {
		w.into(h, 0, false, true, maxWraps)
	}
	return w
}

// wraps reports whether a copy of the header may be in the body.
func (h *header) wraps() bool {
	return slices.ContainsFunc(h.mediaTypes(), func(t string) bool { return isMultipart(t) || isMessage(t) })
}

// into looks at what outer says to be at body[at:]. A message there is a copy
// where whole says so, and an attachment otherwise; signed says that nothing in
// it can change (RFC 1847).
func (w *walk) into(outer *header, at int, signed, whole bool, depth int) {
	types := outer.mediaTypes()
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
func (w *walk) parts(outer *header, at int, signed, whole bool, depth int) {
	starts, all := firstParts(w.body[at:], outer.boundaries())
	w.more = w.more || !all
	w.open = w.open || signed && len(starts) == 0
	for _, start := range starts {
		w.header(at+start, signed, whole, depth)
	}
}

// message looks at a whole message, or the header of one.
func (w *walk) message(outer *header, at int, signed bool, depth int) {
	decoded, ok := outer.decoded(w.body[at:])
	if !ok {
		w.header(at, signed, true, depth)
		return
	}
	inner := walk{body: withCRLF(decoded)}
	inner.header(0, true, true, depth)
	w.found = append(w.found, inner.found...)
	w.more, w.open, w.deep = w.more || inner.more, w.open || inner.open, w.deep || inner.deep
}

// withCRLF returns text whose lines may end with LF alone, as beneath an
// encoding they do on many machines, with CRLF.
func withCRLF(text []byte) []byte {
	text = bytes.ReplaceAll(text, crlf, []byte("\n"))
	return bytes.ReplaceAll(text, []byte("\n"), crlf)
}

// header takes the header at body[at:], and looks into what it says to follow.
func (w *walk) header(at int, signed, whole bool, depth int) {
	rest := w.body[at:]
	if bytes.HasPrefix(rest, crlf) {
		return // a part without a header
	}
	if depth == 0 || len(w.found) == maxHeaders {
		w.deep = true
		return
	}
	end := bytes.Index(rest, []byte("\r\n\r\n")) + len("\r\n\r\n")
	if end < len("\r\n\r\n") {
		end, w.more, w.open = len(rest), true, true
	}
	h := parseHeader(rest[:end])
	w.found = append(w.found, shownHeader{h, at, signed})
	w.into(&h, at+end, signed, whole, depth-1)
}

// boundaries returns what may part the body (RFC 2046 section 5.1.1): of two
// parameters or fields, mail clients take the first or the last.
func (h *header) boundaries() []string {
	var values []string
	for _, value := range h.bodies(kindContentType) {
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
		if !bytes.HasPrefix(line, []byte("--")) || !bytes.HasSuffix(line, crlf) {
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

// MaxBody is how much of a body Decide looks at, where it looks at one.
const MaxBody = 64 << 10

// isMultipart reports a message with parts.
func (h *header) isMultipart() bool {
	return slices.ContainsFunc(h.mediaTypes(), isMultipart)
}
