package proxy

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sendguard/policy"
)

// inspecting has bodies counted, with a limit.
func inspecting(limit policy.Limit, change ...func(*policy.Settings)) func(*setup) {
	return func(s *setup) {
		s.settings.InspectBody, s.settings.Limits[policy.InBody] = true, limit
		for _, c := range change {
			c(&s.settings)
		}
	}
}

func reporting(s *policy.Settings) { s.Action = policy.Report }

// withList is a message with n addresses in an attached list, behind so many
// bytes of a picture.
func withList(n, picture int) string {
	lines := func(text string) string {
		var b strings.Builder
		for code := base64.StdEncoding.EncodeToString([]byte(text)); len(code) > 0; code = code[min(76, len(code)):] {
			b.WriteString(code[:min(76, len(code))] + "\r\n")
		}
		return b.String()
	}
	return "From: me@home.example\r\nTo: you@there.example\r\nSubject: the list\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
		"--b\r\n\r\nHere it is, from me@home.example.\r\n" +
		"--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n" + lines(strings.Repeat("x", picture)) +
		"--b\r\nContent-Type: application/octet-stream; name=\"members.csv\"\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		lines("Name,Mail\r\n"+strings.ReplaceAll(addresses(n), ", ", "\r\nx,")+"\r\n") + "--b--\r\n"
}

const listRefused = "550 5.7.1 Not sent: its text and attachments show 43 addresses (limit 25). Take them out, or put [show 43] in the subject to send anyway."

func TestAListInAnAttachmentIsNeverFinishedUpstream(t *testing.T) {
	for name, picture := range map[string]int{"at the start": 0, "behind a first piece": 2 * smallPiece, "far behind": 3_000_000} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t)
			g := newGuard(t, u, inspecting(25))
			c := g.greeted()
			c.envelope()
			begin, rest, _ := strings.Cut(withList(43, picture), "Here")
			c.send(begin + "Here")
			u.waitFor("DATA", func() bool { return slices.Contains(u.commands, "DATA") })
			c.send(rest + ".\r\n")
			if r := c.reply(); r != listRefused {
				t.Errorf("got %q", r)
			}
			c.cmd("NOOP", "421")
			u.waitFor("the message to break off", func() bool { return len(u.broken) > 0 })
			if _, got, _ := u.got(); len(got) > 0 {
				t.Error("it was finished upstream")
			}
			for metric, want := range map[string]float64{
				"sendguard_blocked_sends_total": 1, "sendguard_messages_total": 1, "sendguard_concealed_addresses_total": 44} {
				labels := []string{"reason", "too_many_in_body"}
				if metric == "sendguard_concealed_addresses_total" {
					labels = nil
				}
				if n := g.counter(metric, labels...); n != want {
					t.Errorf("%s is %v", metric, n)
				}
			}
		})
	}
}

func TestTheUpstreamIsHungUpOnInMidBody(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u, inspecting(25))
	c := g.greeted()
	c.envelope()
	c.send("From: me@home.example\r\n\r\n")
	u.waitFor("DATA", func() bool { return slices.Contains(u.commands, "DATA") })
	c.send(strings.ReplaceAll(addresses(26), ", ", "\r\n") + "\r\n" + strings.Repeat("Hello all\r\n", 100)) // its first KiB says what a part is
	u.waitFor("the message to break off", func() bool { return len(u.broken) > 0 })
	c.send("q0@there.example, q1@there.example\r\n.\r\n")
	c.want("550 5.7.1 Not sent: its text and attachments show 28 addresses (limit 25).")
	c.cmd("NOOP", "421")
}

func TestAListThatIsThereBeforeDATAWentUpstreamCostsNoConnection(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u, inspecting(3))
	c := g.greeted()
	short := "From: me@home.example\r\n\r\n" + addresses(4) + "\r\n"
	c.message(short, "550 5.7.1 Not sent: its text and attachments show 4 addresses (limit 3).")
	c.message(plain, "250")
	if _, got, broken := u.got(); !slices.Equal(got, []string{plain}) || len(broken) > 0 {
		t.Errorf("upstream got %q, and %q broke off", got, broken)
	}
}

func TestABodyWithinItsLimitPassesUntouched(t *testing.T) {
	for _, picture := range []int{0, 1_000_000} {
		u := newUpstream(t)
		g := newGuard(t, u, inspecting(43))
		m := withList(43, picture)
		g.greeted().message(m, "250 2.0.0 queued")
		if _, got, _ := u.got(); !slices.Equal(got, []string{m}) {
			t.Errorf("upstream got %.300q", got)
		}
		if n := g.counter("sendguard_messages_total", "verdict", "allow", "reason", "none"); n != 1 {
			t.Errorf("messages_total is %v", n)
		}
	}
}

func TestReportLetsAListPassAndCountsIt(t *testing.T) {
	for _, picture := range []int{0, 1_000_000} {
		u := newUpstream(t)
		g := newGuard(t, u, inspecting(25, reporting))
		m := withList(43, picture)
		g.greeted().message(m, "250 2.0.0 queued")
		if _, got, _ := u.got(); !slices.Equal(got, []string{m}) {
			t.Errorf("upstream got %.300q", got)
		}
		if n := g.counter("sendguard_messages_total", "verdict", "report", "reason", "too_many_in_body"); n != 1 {
			t.Errorf("messages_total is %v", n)
		}
		if !strings.Contains(g.log.String(), "reason=too_many_in_body visible=1 internal=0 external=1 in_body=43") {
			t.Errorf("the log says %s", g.log)
		}
	}
}

func TestBccRefusesAListInTheBody(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u, bcc, inspecting(25))
	m := strings.Replace(withList(43, 1_000_000), "you@there.example", addresses(12), 1)
	g.greeted().message(m, listRefused)
	if _, got, _ := u.got(); len(got) > 0 {
		t.Error("it was finished upstream")
	}
}

func TestAnOverrideOfABodyIsDecidedAtItsEnd(t *testing.T) {
	tagged := func(n, picture int) string {
		return strings.Replace(withList(43, picture), "the list", fmt.Sprintf("the list [show %d]", n), 1)
	}
	for _, picture := range []int{0, 1_000_000} {
		u := newUpstream(t)
		g := newGuard(t, u, inspecting(25))
		g.greeted().message(tagged(43, picture), "250")
		_, got, _ := u.got()
		if len(got) != 1 || strings.Replace(got[0], " \r\n", "\r\n", 1) != withList(43, picture) {
			t.Errorf("upstream got %.300q", got)
		}
		if n := g.counter("sendguard_messages_total", "verdict", "override", "reason", "too_many_in_body"); n != 1 {
			t.Errorf("messages_total is %v", n)
		}
		g.greeted().message(tagged(40, picture), "550 5.7.1 Not sent: the subject says [show 40], but its text and attachments show 43 addresses (limit 25). Take them out, or put [show 43]")
		if _, got, _ := u.got(); len(got) != 1 {
			t.Error("the wrong number passed")
		}
	}
	u := newUpstream(t)
	g := newGuard(t, u, inspecting(25, func(s *policy.Settings) { s.Override, s.RejectHint = false, "Call 123." }))
	g.greeted().message(tagged(43, 0), "550 5.7.1 Not sent: its text and attachments show 43 addresses (limit 25). Take them out. Call 123.")
}

func TestABodyThatComesByteForByteIsCountedTheSame(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u, inspecting(3))
	m := "From: me@home.example\r\nContent-Type: multipart/mixed; boundary=.b\r\n\r\n--.b\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		base64.StdEncoding.EncodeToString([]byte("p0@there.example, p1@there.example")) +
		"\r\n--.b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n..p0=40there.exam=\r\nple p2@there=\r\n..example p2@there.example\r\n..p3@there.example\r\n--.b--\r\n.\r\n"
	const want = "550 5.7.1 Not sent: its text and attachments show 4 addresses (limit 3)."
	for i := range m {
		c := g.greeted()
		c.envelope()
		c.send(m[:i])
		c.send(m[i:])
		if r := c.reply(); !strings.HasPrefix(r, want) {
			t.Fatalf("cut at %d: %q", i, r)
		}
		c.conn.Close()
	}
	c := g.greeted()
	c.envelope()
	for i := range m {
		c.send(m[i : i+1])
	}
	c.want(want)
	if _, got, _ := u.got(); len(got) > 0 {
		t.Errorf("upstream got %q", got)
	}
}

func TestAClientThatVanishesInACountedBodyFinishesNothing(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u, inspecting(25))
	for _, n := range []int{5, 43} {
		c := g.greeted()
		c.envelope()
		m := withList(n, 1_000_000)
		c.send(m[:len(m)-3])
		c.conn.Close()
	}
	u.waitFor("both to break off", func() bool { return len(u.broken) == 2 })
	if _, got, _ := u.got(); len(got) > 0 {
		t.Errorf("upstream got %.300q", got)
	}
}

func TestABodyThatCannotBeCountedForWantOfMemoryIsNotSent(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u, inspecting(policy.MaxInBody), func(s *setup) { s.limits.BufferBytes = 700_000 })
	c := g.greeted()
	c.message("From: me@home.example\r\n\r\n"+strings.ReplaceAll(addresses(60_000), ", ", "\r\n")+"\r\n", "452 4.3.1")
	if _, got, _ := u.got(); len(got) > 0 {
		t.Error("it was finished upstream")
	}
}

func TestCopiesAreSentWhereTheBodyIsConfirmed(t *testing.T) {
	for _, picture := range []int{0, 1_000_000} { // all of the message at once, and not
		for _, to := range [][]string{people(3), people(1)} {
			copiesOfAConfirmedBody(t, picture, to)
		}
	}
}

func copiesOfAConfirmedBody(t *testing.T, picture int, to []string) {
	s := newCopyServer(t)
	g := newGuard(t, s.u, individual, inspecting(25))
	message := func(subject string, shown []string) string {
		m := strings.Replace(withList(43, picture), "Subject: the list", "Subject: "+subject, 1)
		return strings.Replace(m, "you@there.example", strings.Join(shown, ", "), 1)
	}
	if r := g.trySend(message("the list [show 40]", people(3)), to); !strings.HasPrefix(r, "550 5.7.1 Not sent: the subject says [show 40], but its text") {
		t.Error(r)
	}
	if n := len(s.copies()); n > 0 {
		t.Errorf("%d got a copy of what was refused", n)
	}
	if r := g.trySend(message("[show 43] the list", people(3)), to); r[:3] != "250" {
		t.Error(r)
	}
	for _, r := range to {
		if got := s.got[r]; !slices.Equal(got, []string{message("the list", []string{r})}) {
			t.Errorf("%s got %.300q", r, got)
		}
	}
}

// Header and body are over their limits: the number of the header confirms no longer
// body, and the larger number confirms both, or no number would do.
func TestTheLargerNumberOfHeaderAndBodyLiftsBoth(t *testing.T) {
	for tag, want := range map[string]string{
		"":          "550 5.7.1 Not sent: every recipient would see 12 addresses (limit 10).",
		"[show 12]": "550 5.7.1 Not sent: its text and attachments show 31 addresses (limit 25). Take them out, or put [show 31] in the subject",
		"[show 31]": "250 2.0.0 queued",
		"[show 30]": "550 5.7.1 Not sent: the subject says [show 30], but every recipient would see 12 addresses (limit 10).",
	} {
		u := newUpstream(t)
		c := newGuard(t, u, inspecting(25)).greeted()
		body := strings.Replace(withList(43, 300_000), "To: you@there.example", "To: "+addresses(12), 1)
		sent := strings.Replace(body, "Subject: ", "Subject: "+tag, 1)
		if got := c.message(sent, want[:3]); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q", tag, got)
		}
		if _, got, _ := u.got(); want[:3] == "250" != slices.Equal(got, []string{body}) {
			t.Errorf("%s: upstream has %d messages", tag, len(got))
		}
	}
}
