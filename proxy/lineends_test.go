package proxy

import (
	"strings"
	"testing"
	"time"

	"sendguard/policy"
)

// unended are messages that seem finished to a client whose lines end in a CR or
// LF alone, and those that do not.
var unended = map[string]bool{
	"From: a@b.example\nTo: c@d.example\n\nHi\n.\n":                                          true,
	"From: a@b.example\rTo: c@d.example\r\rHi\r.\r":                                          true,
	"From: a@b.example\r\nTo: c@d.example\r\n\r\nHi\n.\n":                                    true,
	"From: a@b.example\r\nTo: c@d.example\r\n\r\nHi\r\n.\n":                                  true,
	"From: a@b.example\r\nTo: c@d.example\r\n\r\nHi\n.\r\n":                                  true,
	"From: a@b.example\r\nTo: c@d.example\r\n\r\nHi\r.\r\n":                                  true,
	"From: a@b.example\nTo: c@d.example\n\nHi\n.\nQUIT\n":                                    true,
	"From: a@b.example\nTo: c@d.example\n\nHi\n.\nquit\r\n":                                  true,
	"From: a@b.example\nTo: c@d.example\n\n" + strings.Repeat("and so on\n", 20_000) + ".\n": true,
	".\n": true,
	"From: a@b.example\r\nTo: c@d.example\r\n\r\nHi\r\n.\r": false, // the LF may be on its way
	"From: a@b.example\nTo: c@d.example\n\nHi\n":            false,
	"From: a@b.example\nTo: c@d.example\n\nHi.\n":           false,
	"From: a@b.example\r\nTo: c@d.example\r\n\r\nHi\r\n":    false,
	"From: a@b.example\nTo: c@d.example\n\nHi\nQUIT\n":      false,
}

func TestAMessageThatItsLineEndsKeepFromEndingHearsSo(t *testing.T) {
	for _, mode := range policy.BareNewlines {
		for message, blamed := range unended {
			u := newUpstream(t)
			g := newGuard(t, u, func(s *setup) { s.settings.BareNewline, s.limits.Stall = mode, 200*time.Millisecond })
			c := g.greeted()
			c.envelope()
			c.send(message)
			want, f := "421 4.4.2 Not sent: the message stopped coming in", faultClientTimeout
			if blamed {
				want, f = "421 4.4.2 Not sent: the message did not end, its line ends are bare CR or LF", faultLineEnds
			}
			c.want(want)
			c.ended()
			if g.faults(f) != 1 || !strings.Contains(g.log.String(), "fault="+string(f)) {
				t.Errorf("%.80q, %s: %v faults %s; the log has\n%s", message, mode, g.faults(f), f, g.log.String())
			}
			if _, got, _ := u.got(); len(got) > 0 {
				t.Errorf("%.80q, %s: the upstream got %q", message, mode, got)
			}
		}
	}
}
