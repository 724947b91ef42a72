package policy

import (
	"io"
	"slices"
	"strings"

	"sendguard/policy/mail"
)

// attendeeTypes are those of a part that lists the recipients again, and means to:
// an invitation (RFC 5545, and vCalendar before it), or Outlook's TNEF.
var attendeeTypes = []string{"text/calendar", "text/x-vcalendar", "application/ics", "application/ms-tnef", "application/vnd.ms-tnef"}

// hasAttendees reports such a part, by its type or, where that says nothing, by the
// name that it would be saved under.
func hasAttendees(p *mail.Part) bool {
	return p.IsA(attendeeTypes...) || slices.ContainsFunc(p.FileNames(), func(name string) bool {
		return strings.HasSuffix(name, ".ics") || name == "winmail.dat"
	})
}

// An invitation listens to a walk for a part that is one.
type invitation struct{ found bool }

func (i *invitation) Delimiter(*mail.Part) {}

func (i *invitation) HeaderLine(*mail.Part, []byte, bool) {}

func (i *invitation) Content(p *mail.Part) (io.WriteCloser, bool) {
	i.found = i.found || !p.Whole && hasAttendees(p)
	return nil, false
}

// invites reports a message that is an invitation, or has one in the start of its
// body.
func invites(h *mail.Header, body []byte) bool {
	own := h.Part()
	if hasAttendees(&own) {
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
