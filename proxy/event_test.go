package proxy

import (
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// lines are those of the log that hold a text.
func (g *guard) lines(text string) (found []string) {
	for line := range strings.Lines(g.log.String()) {
		if strings.Contains(line, text) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

// raw is the last line that the client reads, with its reference.
func (c *client) raw(line string) string {
	c.t.Helper()
	c.send(line + "\r\n")
	reply, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimSpace(reply)
}

var referred = regexp.MustCompile(` \(ref ([A-HJ-NP-Z2-9]{6})\)$`)

// Whoever is shown a refusal can be told by its reference what it was about.
func TestEachRefusalOfOursEndsWithAReferenceThatItsLogLineHas(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u, func(s *setup) { s.limits.Recipients = 1; s.limits.MessageBytes = 5000 })
	c := g.greeted()
	begin := []string{"MAIL FROM:<me@home.example>", "RCPT TO:<you@there.example>"}
	for _, tc := range []struct {
		before    []string
		line, log string
	}{
		{nil, "MAIL FROM:<me@home.example> SIZE=9000", `msg=refused route=test session=1 reply="552 5.3.4"`},
		{[]string{"MAIL FROM:<me@home.example>"}, "DATA", `msg=refused route=test session=1 reply="554 5.5.1"`},
		{begin, "RCPT TO:<more@there.example>", `msg=refused route=test session=1 reply="452 4.5.3"`},
		{append(begin, "DATA"), leaking(43) + ".", `msg=message route=test session=1 outcome=refused_by_policy`},
		{append(begin, "DATA"), plain + strings.Repeat("x", 6000) + "\r\n.", `msg=message route=test session=1 outcome=client_failed`},
	} {
		c.cmd("RSET", "250")
		for _, line := range tc.before {
			c.send(line + "\r\n")
			c.reply()
		}
		told := c.raw(tc.line)
		ref := referred.FindStringSubmatch(told)
		if ref == nil {
			t.Errorf("%.40q is told %q", tc.line, told)
			continue
		}
		if lines := g.lines("ref=" + ref[1]); len(lines) == 0 || !strings.Contains(lines[len(lines)-1], tc.log) {
			t.Errorf("%.40q: the log has %q, want %q", tc.line, lines, tc.log)
		}
		if strings.HasPrefix(told, "552 5.3.4 Not sent: the message") && len(tc.before) > 0 {
			break // the upstream was lost with it
		}
	}
}

func TestWhatTheUpstreamSaysHasNoReference(t *testing.T) {
	u := newUpstream(t)
	u.on = answers(map[string]string{"RCPT TO:<no@there.example>": "550 5.1.1 no such user", "MAIL FROM:<no@home.example>": "451 4.7.1 later", ".": "554 5.7.1 spam"})
	c := newGuard(t, u).greeted()
	for _, line := range []string{"MAIL FROM:<no@home.example>", "MAIL FROM:<me@home.example>", "RCPT TO:<no@there.example>", "RCPT TO:<you@there.example>"} {
		if told := c.raw(line); strings.Contains(told, "(ref") {
			t.Errorf("%s is told %q", line, told)
		}
	}
	c.cmd("DATA", "354")
	if told := c.raw(plain + "."); told != "554 5.7.1 spam" {
		t.Errorf("the message is told %q", told)
	}
}

func TestSyntaxErrorsBeforeMAILAreNotLogged(t *testing.T) {
	g := newGuard(t, newUpstream(t))
	c := g.greeted()
	before := len(g.lines(""))
	for _, line := range []string{"BOGUS", "RCPT TO:<you@there.example>", "DATA", "AUTH", "AUTH UNKNOWN"} {
		if told := c.raw(line); told[0] != '5' || strings.Contains(told, "(ref") {
			t.Errorf("%s is told %q", line, told)
		}
	}
	if lines := g.lines(""); len(lines) != before {
		t.Errorf("the log has %q", lines[before:])
	}
}

func TestWhatIsSaidAgainHasTheSameReference(t *testing.T) {
	u := newUpstream(t)
	u.once.Do(func() {}) // it is not there
	u.listener.Close()
	g := newGuard(t, u)
	c := g.dial()
	c.want("220")
	first := c.raw("EHLO client.test")
	if again := c.raw("HELO client.test"); again != first || !referred.MatchString(first) {
		t.Errorf("told %q, then %q", first, again)
	}
}

// A client that tries for ever must not fill the disk.
func TestOfIdenticalFaultsBeforeMAILThereIsOneLineASecondWithACount(t *testing.T) {
	u := newUpstream(t)
	u.once.Do(func() {})
	u.listener.Close()
	g := newGuard(t, u)
	const clients, each = 20, 25
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for range each {
				conn, err := g.tryDial()
				if err != nil {
					t.Error(err)
					return
				}
				c := &client{t, conn, nil, g.refs}
				c.send("EHLO client.test\r\n")
				buf := make([]byte, 1024)
				for n, err := 0, error(nil); err == nil && !strings.Contains(string(buf[:n]), "(ref "); n, err = conn.Read(buf) {
				}
				conn.Close()
			}
		})
	}
	wg.Wait()
	waitUntil(t, "the sessions to end", func() bool { return g.counter("sendguard_open_sessions") == 0 })
	g.repeats.close() // the second is over
	lines := g.lines("fault=connect")
	total := 0
	for _, line := range lines {
		times := 1
		if _, n, ok := strings.Cut(line, "times="); ok {
			fmt.Sscan(n, &times)
		}
		total += times
	}
	if total != clients*each || g.faults(faultConnect) != clients*each {
		t.Errorf("%d lines tell of %d faults, counted are %v; want %d", len(lines), total, g.faults(faultConnect), clients*each)
	}
	if len(lines) > clients*each/4 {
		t.Errorf("%d lines for %d faults", len(lines), clients*each)
	}
}

func TestTheLinesOfOneConnectionHaveOneNumber(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u, func(s *setup) { s.limits.Recipients = 1 })
	first, second := g.greeted(), g.greeted()
	for _, c := range []*client{first, second, first} {
		c.cmd("MAIL FROM:<me@home.example>", "250")
		c.cmd("RCPT TO:<you@there.example>", "250")
		c.cmd("RCPT TO:<more@there.example>", "452")
		c.cmd("DATA", "354")
		c.send(plain + ".\r\n")
		c.want("250")
	}
	if a, b := len(g.lines("session=1 ")), len(g.lines("session=2 ")); a != 4 || b != 2 {
		t.Errorf("sessions have %d and %d lines:\n%s", a, b, g.log)
	}
}

func TestALoginThatTheUpstreamRefusedIsLoggedWithoutItsWords(t *testing.T) {
	u := newUpstream(t)
	u.on = answers(map[string]string{"AUTH PLAIN " + b64("\x00me\x00guess"): "535 5.7.8 who is me@home.example?"})
	g := newGuard(t, u)
	g.greeted().cmd("AUTH PLAIN "+b64("\x00me\x00guess"), "535 5.7.8 who is me")
	if lines := g.lines(`msg="the upstream refused a login" `); len(lines) != 1 || !strings.HasSuffix(lines[0], `mechanism=PLAIN reply="535 5.7.8"`) {
		t.Errorf("the log has %q", lines)
	}
}

func TestTheClientsAddressIsLoggedWhereTheRouteSaysSo(t *testing.T) {
	for _, shown := range []bool{false, true} {
		g := newGuard(t, newUpstream(t), withUsers(usersFile(t, "alice:"+hashOf("sesame"))), func(s *setup) {
			s.route = func(r *Route) { r.LogClient, r.ProxyProtocol = shown, true }
		})
		c := g.dial()
		c.send("PROXY TCP4 192.0.2.7 192.0.2.1 4711 25\r\n")
		c.want("220")
		c.cmd("EHLO client.test", "250")
		c.cmd("AUTH PLAIN "+b64("\x00alice\x00guess"), "535")
		if got := len(g.lines("client=192.0.2.7 fault=client_login")) == 1; got != shown {
			t.Errorf("with client_address %v the log has %s", shown, g.log)
		}
	}
}

// What debug shows holds nothing of what was said.
func TestDebugShowsTheConversationByVerbsCodesAndSizes(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u, func(s *setup) { s.level = slog.LevelDebug })
	c := g.greeted()
	c.cmd("AUTH LOGIN", "235")
	c.cmd("SECRET word", "502")
	c.message(plain, "250")
	c.cmd("QUIT", "221")
	c.ended()
	var got []string
	for _, line := range g.lines("level=DEBUG") {
		_, line, _ = strings.Cut(line, "msg=")
		got = append(got, strings.ReplaceAll(line, " route=test session=1", ""))
	}
	want := []string{"told reply=220 bytes=", "client verb=EHLO bytes=18", "told reply=250", "client verb=AUTH bytes=12", "upstream command=auth reply=235", "told reply=235",
		"client verb=unknown bytes=13", "told reply=502", "client verb=MAIL", "upstream command=mail reply=250", "told reply=250", "client verb=RCPT", "upstream command=rcpt reply=250", "told reply=250",
		"client verb=DATA bytes=6", "told reply=354", "upstream command=data reply=354", "upstream command=message reply=250", "told reply=250", "client verb=QUIT", "told reply=221"}
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if log := g.log.String(); strings.Contains(log, "SECRET") {
		t.Errorf("the log has what the client said: %s", log)
	}
}

func TestEveryFaultIsToldInWords(t *testing.T) {
	for _, f := range faults {
		if words := faultWords[f]; words == "" || strings.ContainsAny(words, "@%\n") {
			t.Errorf("%s is %q", f, words)
		}
	}
	if len(faultWords) != len(faults) {
		t.Errorf("%d faults, %d words", len(faults), len(faultWords))
	}
}

func TestReferencesAreSixLettersAndDigitsThatNobodyMistakes(t *testing.T) {
	seen := map[string]bool{}
	for range 10_000 {
		ref := newRef()
		if !regexp.MustCompile(`^[A-HJ-NP-Z2-9]{6}$`).MatchString(ref) || seen[ref] {
			t.Fatalf("%q (seen: %v)", ref, seen[ref])
		}
		seen[ref] = true
	}
}

// A stranger has no login, and may send as much as the line takes.
func TestMAILWithoutALoginDoesNotFloodTheLog(t *testing.T) {
	g := newGuard(t, newUpstream(t), withUsers(usersFile(t, "alice:"+hashOf("sesame"))))
	const clients = 20
	for range clients {
		c := g.greeted()
		c.send(strings.Repeat("MAIL FROM:<me@home.example>\r\n", 1000))
		for range maxCommandErrors + 1 {
			c.want("530 5.7.0")
		}
		c.want("421 4.7.0 Too many errors")
	}
	if lines := g.lines("msg="); len(lines) > clients*maxCommandErrors/10 {
		t.Errorf("%d lines of the log are about %d clients:\n%s", len(lines), clients, g.log)
	}
}

func TestRecipientsBeyondTheLimitAreOneLineOfTheLogForEachMessage(t *testing.T) {
	g := newGuard(t, newUpstream(t), func(s *setup) { s.limits.Recipients = 1 })
	c := g.greeted()
	refs := map[string]bool{}
	for range 2 {
		c.cmd("MAIL FROM:<me@home.example>", "250")
		c.cmd("RCPT TO:<you@there.example>", "250")
		for range 100 {
			refs[referred.FindString(c.raw("RCPT TO:<more@there.example>"))] = true
		}
		c.cmd("RSET", "250")
	}
	if lines := g.lines(`msg=refused`); len(lines) != 2 || len(refs) != 2 {
		t.Errorf("%d references, and the log has %q", len(refs), lines)
	}
}
