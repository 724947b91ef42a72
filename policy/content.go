package policy

import (
	"bytes"
	"regexp"
	"slices"
)

// MaxBody is how much of a body Decide looks at, where it looks at one.
const MaxBody = 64 << 10

// isMultipart reports a message with parts.
func (h *header) isMultipart() bool {
	return slices.ContainsFunc(h.mediaTypes(), isMultipart)
}

// attendeesPart is the header field of a part that lists the recipients again,
// and means to: an invitation (RFC 5545), or Outlook's TNEF.
var attendeesPart = regexp.MustCompile(`(?i)\r\ncontent-type[ \t]*:(?:[ \t]|\r\n[ \t]|\([^()\r\n]*\))*"?(?:text/calendar|application/(?:ms-|vnd\.ms-)tnef)\b`)

// isCalendar reports a message that is an invitation, or has one in the begin
// of its body.
func (h *header) isCalendar(body []byte) bool {
	return slices.Contains(h.mediaTypes(), "text/calendar") || attendeesPart.Match(body)
}

// rewriteRefusal says why the addresses of a message cannot be taken out of its
// header, in fields of the kinds that would change: they would still be somewhere, or a signature would break.
func (d *decision) rewriteRefusal(changed [kindCount]bool) Reason {
	for kind, is := range changed {
		if is && d.signed[kind] {
			return ReasonSigned
		}
	}
	for n := range d.headers { // of the parts that a copy may be in, too
		for _, media := range d.headers[n].mediaTypes() {
			switch media {
			case "multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime":
				return ReasonSealed
			case "application/ms-tnef", "application/vnd.ms-tnef":
				return ReasonAttendees
			}
		}
	}
	if d.outer.isCalendar(d.message.Body) {
		return ReasonAttendees
	}
	return ReasonNone
}

// An AttendeesScanner looks for an invitation in the rest of a body whose
// header was rewritten. It is given all pieces of the message in order.
type AttendeesScanner struct{ tail []byte }

// longestPart is more than what it looks for has in practice.
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
