package policy

import (
	"io"

	"sendguard/policy/mail"
)

// attendeeTypes are those of a part that lists the recipients again, and means to:
// an invitation (RFC 5545), or Outlook's TNEF.
var attendeeTypes = []string{"text/calendar", "application/ms-tnef", "application/vnd.ms-tnef"}

// An invitation listens to a walk for a part that is one.
type invitation struct{ found bool }

func (i *invitation) Delimiter(*mail.Part) {}

func (i *invitation) HeaderLine(*mail.Part, []byte, bool) {}

func (i *invitation) Content(p *mail.Part) (io.WriteCloser, bool) {
	i.found = i.found || !p.Whole && p.IsA(attendeeTypes...)
	return nil, false
}

// invites reports a message that is an invitation, or has one in the start of its
// body.
func invites(h *mail.Header, body []byte) bool {
	own := h.Part()
	if own.IsA("text/calendar") {
		return true
	}
	if len(body) == 0 {
		return false
	}
	var i invitation
	w := mail.NewWalk(h, &i)
	w.Write(body)
	w.Close()
	return i.found
}
