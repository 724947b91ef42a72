package policy

import (
	"bytes"
	"regexp"
	"slices"

	"sendguard/policy/mail"
)

// attendeesPart is the header field of a part that lists the recipients again,
// and means to: an invitation (RFC 5545), or Outlook's TNEF.
var attendeesPart = regexp.MustCompile(`(?i)\r\ncontent-type[ \t]*:(?:[ \t]|\r\n[ \t]|\([^()\r\n]*\))*"?(?:text/calendar|application/(?:ms-|vnd\.ms-)tnef)\b`)

// isCalendar reports a message that is an invitation, or has one in the start
// of its body.
func isCalendar(h *mail.Header, body []byte) bool {
	return slices.Contains(h.MediaTypes(), "text/calendar") || attendeesPart.Match(body)
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
