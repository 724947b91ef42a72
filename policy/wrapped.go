package policy

import (
	"bytes"
	"mime"
	"regexp"
	"slices"
	"strings"
)

// A message may hold copies of its header that mail clients show: the header
// of the signed part (RFC 9788, and protected-headers="v1" before it), or that
// of a whole message in its place (message/rfc822). Their addresses count.

// maxWraps is how many parts inside of each other are looked at.
const maxWraps = 4

// wraps reports whether a copy of the header may be at the begin of the body.
func (h *header) wraps() bool {
	return slices.ContainsFunc(h.mediaTypes(), func(t string) bool {
		return t == "multipart/signed" || t == "message/rfc822" || t == "message/global"
	})
}

// isSigned reports multipart/signed (RFC 1847): nothing in its first part can
// change.
func (h *header) isSigned() bool { return slices.Contains(h.mediaTypes(), "multipart/signed") }

// copies returns the headers at the begin of a body that may be shown in place
// of h. What is wrong with one does not matter, but for its end, which must be
// in what is there of the body.
func (h *header) copies(body []byte) (copies []header, d defect) {
	cut := len(body) >= MaxBody
	outer := *h
	for range maxWraps {
		if len(body) == 0 || !outer.wraps() {
			break
		}
		if outer.isSigned() {
			body = outer.firstPart(body)
		}
		if len(body) == 0 || bytes.HasPrefix(body, crlf) {
			break // no part, or one without a header
		}
		end := bytes.Index(body, []byte("\r\n\r\n"))
		switch {
		case end >= 0:
			end += len("\r\n\r\n")
		case cut:
			return copies, defect{ReasonUnreadableHeader, bytes.Count(h.raw, crlf) + 1}
		default:
			end = len(body)
		}
		outer = parseHeader(body[:end])
		copies = append(copies, outer)
		body = body[end:]
	}
	return copies, defect{}
}

var boundaryParameter = regexp.MustCompile(`(?i);\s*boundary\s*=\s*"?([^";\s]+)`)

// firstPart returns the body from the first part on (RFC 2046 section 5.1.1),
// or nil where there is none.
func (h *header) firstPart(body []byte) []byte {
	for _, value := range h.bodies(kindContentType) {
		boundary := ""
		if _, parameters, err := mime.ParseMediaType(strings.ReplaceAll(strings.TrimSpace(string(value)), "\r\n", "")); err == nil {
			boundary = parameters["boundary"]
		} else if m := boundaryParameter.FindSubmatch(value); m != nil {
			boundary = string(m[1])
		}
		if boundary == "" {
			continue
		}
		delimiter := []byte("\r\n--" + boundary)
		at := bytes.Index(append(bytes.Clone(crlf), body...), delimiter)
		if at < 0 {
			continue
		}
		rest := body[at+len(delimiter)-len(crlf):]
		if n := bytes.Index(rest, crlf); n >= 0 {
			return rest[n+len(crlf):]
		}
	}
	return nil
}
