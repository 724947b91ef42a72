package policy

import (
	"bytes"
	"mime"
	"regexp"
	"strings"
)

// MaxBody is how much of a body Decide looks at, where it looks at one.
const MaxBody = 64 << 10

// contentType returns the media type of the message in lower case, without
// parameters: "text/plain" where there is none (RFC 2045 section 5.2).
func (h *header) contentType() string {
	bodies := h.bodies(kindContentType)
	if len(bodies) == 0 {
		return "text/plain"
	}
	value := strings.ReplaceAll(string(bytes.TrimSpace(bodies[0])), "\r\n", "")
	if media, _, err := mime.ParseMediaType(value); err == nil {
		return media
	}
	media, _, _ := strings.Cut(value, ";")
	return strings.ToLower(strings.TrimSpace(media))
}

// attendeesPart is the header field of a part that lists the recipients again,
// and means to: an invitation (RFC 5545), or Outlook's TNEF.
var attendeesPart = regexp.MustCompile(`(?i)\r\ncontent-type:(?:\s|\r\n\s)*(?:text/calendar|application/(?:ms-|vnd\.ms-)tnef)\b`)

// isCalendar reports a message that is an invitation, or has one in the begin
// of its body.
func (h *header) isCalendar(body []byte) bool {
	return h.contentType() == "text/calendar" || attendeesPart.Match(body)
}

// rewriteRefusal says why the addresses of a message cannot be taken out of its
// header: they would still be somewhere, or a signature would break.
func (h *header) rewriteRefusal(changed, signed [kindCount]bool, body []byte) Reason {
	for kind, is := range changed {
		if is && signed[kind] {
			return ReasonSigned
		}
	}
	switch media := h.contentType(); {
	case media == "multipart/encrypted", media == "application/pkcs7-mime", media == "application/x-pkcs7-mime":
		return ReasonSealed
	case media == "application/ms-tnef", media == "application/vnd.ms-tnef", h.isCalendar(body):
		return ReasonAttendees
	}
	return ReasonNone
}

// An AttendeesScanner looks for an invitation in the rest of a body whose
// header was rewritten. It is given all pieces of the message in order.
type AttendeesScanner struct{ tail []byte }

// longestPart is more than the part header that it looks for can have.
const longestPart = 256

// Found reports whether an invitation begins in the message so far.
func (s *AttendeesScanner) Found(piece []byte) bool {
	head := append(s.tail, piece[:min(len(piece), longestPart)]...)
	found := attendeesPart.Match(head) || attendeesPart.Match(piece)
	if len(piece) >= longestPart {
		head = piece
	}
	s.tail = bytes.Clone(head[max(0, len(head)-longestPart):])
	return found
}
