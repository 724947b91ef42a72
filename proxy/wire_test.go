package proxy

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// dialogue is two messages and QUIT in one breath, the first of them leaking.
func dialogue(first string) string {
	envelope := "MAIL FROM:<me@home.example>\r\nRCPT TO:<you@there.example>\r\nDATA\r\n"
	return "EHLO client.test\r\n" + envelope + first + ".\r\n" + envelope + plain + ".\r\nQUIT\r\n"
}

func TestTwoMessagesAndQuitInOnePacketAreJudgedOneByOne(t *testing.T) {
	for _, first := range []string{plain, leaking(43)} {
		u := newUpstream(t)
		c := newGuard(t, u).dial()
		c.send(dialogue(first))
		for _, want := range []string{"220", "250", "250", "250", "354"} {
			c.want(want)
		}
		if first == plain {
			c.want("250 2.0.0 queued")
		} else {
			c.want("550 5.7.1")
		}
		for _, want := range []string{"250", "250", "354", "250 2.0.0 queued", "221"} {
			c.want(want)
		}
		c.ended()
		_, got, broken := u.got()
		want := []string{plain, plain}
		if first != plain {
			want = want[1:]
		}
		if !slices.Equal(got, want) || len(broken) > 0 {
			t.Errorf("upstream got %q, and broken off %q", got, broken)
		}
	}
}

func TestADialogueSplitAtEveryByteIsTheSameDialogue(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u)
	whole := dialogue(leaking(11))
	for cut := range len(whole) {
		c := g.dial()
		c.send(whole[:cut])
		if cut%7 == 0 { // let the first part arrive by itself
			c.want("220")
		}
		c.send(whole[cut:])
		replies := ""
		for r := c.reply(); r != ""; r = c.reply() {
			replies += r[:3] + " "
		}
		if want := "250 250 250 354 550 250 250 354 250 221 "; strings.TrimPrefix(replies, "220 ") != want {
			t.Fatalf("split at %d: replies %s", cut, replies)
		}
	}
	if _, got, broken := u.got(); len(got) != len(whole) || len(broken) > 0 {
		t.Errorf("%d messages upstream and %d broken off, want %d and 0", len(got), len(broken), len(whole))
	}
}

func TestNothingIsRunAfterQuit(t *testing.T) {
	u := newUpstream(t)
	c := newGuard(t, u).greeted()
	c.send("QUIT\r\nEHLO again\r\nMAIL FROM:<evil@home.example>\r\n")
	c.want("221")
	c.ended()
	commands, _, _ := u.got()
	if !slices.Equal(commands, []string{"EHLO client.test", "QUIT"}) {
		t.Errorf("upstream was sent %q", commands)
	}
}

func TestABrowsersRequestIsDroppedAtItsFirstLine(t *testing.T) {
	for _, line := range []string{"POST / HTTP/1.1", "GET /x HTTP/1.0", "OPTIONS * HTTP/1.1", "EHLO / HTTP/1.1", "post /"} {
		u := newUpstream(t)
		g := newGuard(t, u)
		c := g.dial()
		c.want("220")
		c.send(line + "\r\nHost: localhost\r\n\r\n" + dialogue(plain))
		c.ended()
		if commands, got, _ := u.got(); len(commands)+len(got) > 0 {
			t.Errorf("%s: upstream was sent %q", line, commands)
		}
		if n := g.counter("sendguard_session_faults_total", "fault", "http"); n != 1 {
			t.Errorf("%s: counted %v times", line, n)
		}
	}
}

func TestTLSOnThePlaintextPortIsDropped(t *testing.T) {
	g := newGuard(t, newUpstream(t))
	c := g.dial()
	c.want("220")
	c.send("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n")
	c.ended()
	if n := g.counter("sendguard_session_faults_total", "fault", "tls_on_plaintext"); n != 1 {
		t.Errorf("counted %v times", n)
	}
}

func TestBDATIsNotOfferedAndItsChunkIsNeverRun(t *testing.T) {
	u := newUpstream(t)
	c := newGuard(t, u).dial()
	c.want("220")
	if ehlo := c.cmd("EHLO client.test", "250"); strings.Contains(ehlo, "CHUNKING") {
		t.Errorf("announced: %q", ehlo)
	}
	c.cmd("MAIL FROM:<me@home.example>", "250")
	c.cmd("RCPT TO:<you@there.example>", "250")
	c.send("BDAT 1000 LAST\r\n" + leaking(43)[:500])
	c.want("502 5.5.1")
	c.ended()
	if _, got, broken := u.got(); len(got)+len(broken) > 0 {
		t.Errorf("upstream got %q %q", got, broken)
	}
}

func TestWhatComesBehindAMessageIsTakenOutOfTheBudget(t *testing.T) {
	u := newUpstream(t)
	asked, goOn := make(chan struct{}, 1), make(chan struct{})
	u.on = func(line string) string {
		if line == "NOOP" {
			select {
			case asked <- struct{}{}:
			default:
			}
			<-goOn
		}
		return ""
	}
	g := newGuard(t, u)
	c := g.greeted()
	c.envelope()
	const commands = 3000
	c.send(plain + ".\r\n" + strings.Repeat("NOOP\r\n", commands))
	c.want("250")
	<-asked
	if taken := g.limits.BufferBytes - g.buffers.Left(); taken < commands || taken > 2*commands*int64(len("NOOP\r\n")) {
		t.Errorf("%d bytes are taken", taken)
	}
	close(goOn)
	for range commands {
		c.want("250")
	}
	if taken := g.limits.BufferBytes - g.buffers.Left(); taken != 0 {
		t.Errorf("%d bytes were not given back", taken)
	}
}

func TestAHalfCommandIsNeverRun(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u, func(s *setup) { s.limits.Idle = 100 * time.Millisecond })
	c := g.greeted()
	c.cmd("MAIL FROM:<me@home.example>", "250")
	c.send("RCPT TO:<b@y.te")
	c.want("421 4.4.2") // the idle limit
	c.ended()
	commands, _, _ := u.got()
	if !slices.Equal(commands[:2], []string{"EHLO client.test", "MAIL FROM:<me@home.example>"}) || slices.ContainsFunc(commands, func(s string) bool { return strings.HasPrefix(s, "RCPT") }) {
		t.Errorf("upstream was sent %q", commands)
	}
}

func TestACommandInTwoPacketsIsOneCommand(t *testing.T) {
	u := newUpstream(t)
	c := newGuard(t, u).greeted()
	c.cmd("MAIL FROM:<me@home.example>", "250")
	c.send("RCPT TO:<b@y.te")
	c.send("st>\r\n")
	c.want("250")
	commands, _, _ := u.got()
	if last := commands[len(commands)-1]; last != "RCPT TO:<b@y.test>" {
		t.Errorf("upstream was sent %q", last)
	}
}

func TestAMessageThatPausesPastTheLimitEndsTheConnection(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u, func(s *setup) { s.limits.Stall = 100 * time.Millisecond })
	c := g.greeted()
	c.envelope()
	c.send("From: me@home.example\r\nTo: you@there.example\r\n\r\nHello\r\n")
	c.want("421 4.4.2")
	c.conn.Write([]byte("MAIL FROM:<evil@home.example>\r\n"))
	c.ended()
	u.waitFor("the message to break off", func() bool { return len(u.broken) == 1 })
	if commands, got, _ := u.got(); len(got) > 0 || strings.Contains(strings.Join(commands, " "), "evil") {
		t.Errorf("upstream got %q, commands %q", got, commands)
	}
}

func TestCommandsGoUpstreamAsTheyCame(t *testing.T) {
	u := newUpstream(t)
	c := newGuard(t, u).greeted()
	commands := []string{
		`MAIL FROM:<"john doe"@home.example> RET=HDRS ENVID=a+2Bb SIZE=1000 BODY=8BITMIME AUTH=<> SMTPUTF8`,
		`RCPT TO:<"x@y> NOTIFY=NEVER "@z.example>`,
		`rcpt to: <you@there.example>  NOTIFY=SUCCESS,DELAY ORCPT=rfc822;you@there.example`,
		`RCPT TO:<postmaster>`,
		`RCPT TO:<Postmaster>`,
		`RCPT TO:<root>`,
		`RCPT TO:you@there.example`,
		`RCPT TO:<you@there.example> RRVS=2026-11-23T12:00:00Z;R HOLDFOR=5 FOO`,
	}
	for _, line := range commands {
		c.cmd(line, "250")
	}
	got, _, _ := u.got()
	if !slices.Equal(got[1:], commands) {
		t.Errorf("got  %q\nwant %q", got[1:], commands)
	}
}

func TestRepliesComeBackAsTheyAre(t *testing.T) {
	replies := map[string]string{
		"MAIL FROM:<a@home.example>":    "250-2.1.0 first line\n250 2.1.0 sender ok, size 5",
		"RCPT TO:<moved@there.example>": "251 2.1.5 user not local; will forward",
		"RCPT TO:<no@there.example>":    "550-5.1.1 The account that you tried to reach\n550-5.1.1 does not exist.\n550 5.1.1 more: \xc3\xbc",
		"RCPT TO:<full@there.example>":  "452 4.2.2 mailbox full",
		"RCPT TO:<odd@there.example>":   "450",
		".":                             "250-2.0.0 ok\n250 2.0.0 as 4711",
	}
	u := newUpstream(t)
	u.on = func(line string) string { return replies[line] }
	c := newGuard(t, u).greeted()
	for _, line := range []string{"MAIL FROM:<a@home.example>", "RCPT TO:<moved@there.example>", "RCPT TO:<no@there.example>", "RCPT TO:<full@there.example>", "RCPT TO:<odd@there.example>"} {
		if got := c.cmd(line, replies[line][:3]); got != replies[line] {
			t.Errorf("%s: got %q, want %q", line, got, replies[line])
		}
	}
	c.cmd("DATA", "354")
	c.send(plain + ".\r\n")
	if got := c.reply(); got != replies["."] {
		t.Errorf("end of message: got %q", got)
	}
}

func TestMailTwiceIsTheUpstreamsToRefuse(t *testing.T) {
	u := newUpstream(t)
	open := false
	u.on = func(line string) string {
		if strings.HasPrefix(line, "MAIL") {
			if open {
				return "503 5.5.1 nested MAIL"
			}
			open = true
		}
		return ""
	}
	c := newGuard(t, u).greeted()
	c.cmd("MAIL FROM:<a@home.example>", "250")
	c.cmd("RCPT TO:<b@there.example>", "250")
	c.cmd("MAIL FROM:<c@home.example>", "503 5.5.1 nested MAIL")
	c.cmd("DATA", "354")
	c.send(plain + ".\r\n")
	c.want("250")
}

func TestWhatIsNoCommandIsRefusedHere(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u)
	c := g.greeted()
	for line, want := range map[string]string{
		"EXPN list": "502 5.5.1", "HELP": "502 5.5.1", "ETRN x": "502 5.5.1", "STARTTLS": "502 5.5.1 No TLS here",
		"": "500 5.5.2", "MAIL FROM:<a\x00@x>": "500 5.5.2", "RCPT TO:<a\rb@x>": "500 5.5.2",
	} {
		c.cmd(line, want)
	}
	if commands, _, _ := u.got(); len(commands) != 1 {
		t.Errorf("upstream was sent %q", commands)
	}
	for c.send("BOGUS\r\n"); strings.HasPrefix(c.reply(), "502"); c.send("BOGUS\r\n") {
	}
	if n := g.counter("sendguard_session_faults_total", "fault", "too_many_errors"); n != 1 {
		t.Errorf("too_many_errors is %v", n)
	}
}

func TestACommandLineHasALimit(t *testing.T) {
	u := newUpstream(t)
	c := newGuard(t, u, func(s *setup) { s.limits.LineBytes = 10_000 }).greeted()
	c.cmd("AUTH XOAUTH2 "+strings.Repeat("A", 10_000-len("AUTH XOAUTH2 ")), "235")
	c.cmd("RSET", "250")
	c.send("MAIL FROM:<" + strings.Repeat("a", 10_001-len("MAIL FROM:<>")) + ">\r\nRCPT TO:<x@y.example>\r\n")
	c.want("500 5.5.2")
	c.ended()
	if commands, _, _ := u.got(); slices.ContainsFunc(commands, func(s string) bool { return strings.HasPrefix(s, "MAIL") }) {
		t.Errorf("upstream was sent MAIL")
	}
}

func TestAMessageBehindARefusedDATAIsNotRun(t *testing.T) {
	u := newUpstream(t)
	u.on = func(line string) string {
		if strings.HasPrefix(line, "RCPT") {
			return "550 5.1.1 no such user"
		}
		return ""
	}
	c := newGuard(t, u).greeted()
	c.send("MAIL FROM:<a@home.example>\r\nRCPT TO:<b@there.example>\r\nDATA\r\nSubject: x\r\n\r\nMAIL FROM:<evil@home.example>\r\n.\r\n")
	c.want("250")
	c.want("550 5.1.1")
	c.want("554 5.5.1")
	c.want("421 4.7.0")
	c.ended()
	commands, _, _ := u.got()
	if strings.Contains(strings.Join(commands, " "), "evil") || slices.Contains(commands, "DATA") {
		t.Errorf("upstream was sent %q", commands)
	}
}

func TestEHLOMirrorsTheUpstream(t *testing.T) {
	for _, tc := range []struct{ caps, want []string }{
		{nil, []string{"PIPELINING", "ENHANCEDSTATUSCODES"}},
		{[]string{"SIZE 1000", "8bitmime", "DSN", "HELP", "X-EXPS GSSAPI", "BINARYMIME", "CHUNKING", "STARTTLS", "ETRN", "LIMITS RCPTMAX=3"},
			[]string{"PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME", "DSN", "SIZE 1000"}},
		{[]string{"SIZE", "SMTPUTF8", "REQUIRETLS", "DELIVERBY 240", "MT-PRIORITY MIXER", "RRVS", "AUTH=LOGIN PLAIN", "AUTH NTLM SCRAM-SHA-1-PLUS SCRAM-SHA-1"},
			[]string{"PIPELINING", "ENHANCEDSTATUSCODES", "SMTPUTF8", "REQUIRETLS", "DELIVERBY 240", "MT-PRIORITY MIXER", "RRVS", "SIZE", "AUTH LOGIN PLAIN SCRAM-SHA-1"}},
	} {
		u := newUpstream(t)
		u.caps = append([]string{"ANOTHER"}, tc.caps...)
		c := newGuard(t, u).dial()
		c.want("220")
		for range 2 { // a second EHLO says the same
			lines := strings.Split(c.cmd("EHLO client.test", "250"), "\n")
			var got []string
			for _, line := range lines[1:] {
				got = append(got, line[4:])
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("upstream has %q:\ngot  %q\nwant %q", tc.caps, got, tc.want)
			}
		}
	}
}

func TestAnUpstreamThatKnowsOnlyHELO(t *testing.T) {
	u := newUpstream(t)
	u.on = func(line string) string {
		if strings.HasPrefix(line, "EHLO") {
			return "502 5.5.1 what?"
		}
		return ""
	}
	c := newGuard(t, u).greeted()
	c.message(plain, "250")
	commands, _, _ := u.got()
	if !slices.Equal(commands[:2], []string{"EHLO client.test", "HELO client.test"}) {
		t.Errorf("upstream was sent %q", commands)
	}
}

func TestAClientThatSaysHELO(t *testing.T) {
	u := newUpstream(t)
	c := newGuard(t, u).dial()
	c.want("220")
	for range 2 {
		if r := c.cmd("HELO client.test", "250"); r != "250 localhost" {
			t.Errorf("HELO got %q", r)
		}
	}
	c.message(plain, "250")
}

func TestNOOPKeepsTheUpstreamAwake(t *testing.T) {
	u := newUpstream(t)
	c := newGuard(t, u).greeted()
	c.cmd("NOOP", "250")
	c.cmd("RSET", "250") // whether there is something to reset or not
	if commands, _, _ := u.got(); !slices.Equal(commands, []string{"EHLO client.test", "NOOP", "RSET"}) {
		t.Errorf("upstream was sent %q", commands)
	}
}

func TestRSETEndsTheTransactionUpstream(t *testing.T) {
	u := newUpstream(t)
	c := newGuard(t, u).greeted()
	c.cmd("MAIL FROM:<a@home.example>", "250")
	c.cmd("RSET", "250")
	c.cmd("RCPT TO:<b@there.example>", "503 5.5.1")
	c.cmd("DATA", "554 5.5.1")
	if commands, _, _ := u.got(); !slices.Equal(commands[2:], []string{"RSET"}) {
		t.Errorf("upstream was sent %q", commands)
	}
}

func TestAClientGoneAtEveryTenthOfAMessageFinishesNothing(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u)
	m := "From: me@home.example\r\nTo: you@there.example\r\n\r\n" + strings.Repeat("0123456789 and so on\r\n", 10_000) + ".\r\n"
	for tenth := range 10 {
		c := g.greeted()
		c.envelope()
		c.send(m[:tenth*len(m)/10])
		if tenth%2 == 0 {
			c.conn.Close()
		} else {
			c.conn.(*net.TCPConn).CloseWrite()
			c.ended()
		}
	}
	for i := range 3 { // the final dot is not complete
		c := g.greeted()
		c.envelope()
		c.send(m[:len(m)-1-i])
		c.conn.(*net.TCPConn).CloseWrite()
		c.ended()
	}
	u.waitFor("the last message to break off", func() bool { return len(u.broken) >= 12 })
	if _, got, _ := u.got(); len(got) > 0 {
		t.Errorf("%d messages were finished upstream", len(got))
	}
	if n := g.counter("sendguard_message_outcomes_total", "outcome", "client_failed"); n != 13 {
		t.Errorf("client_failed is %v", n)
	}
}

func TestLimitsOfConnections(t *testing.T) {
	for name, limit := range map[string]func(*Limits){
		"in all":     func(l *Limits) { l.Connections = 2 },
		"per client": func(l *Limits) { l.ConnectionsPerClient = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t)
			g := newGuard(t, u, func(s *setup) { limit(&s.limits) })
			first, _ := g.greeted(), g.greeted()
			third := g.dial()
			third.want("421 4.7.0")
			third.ended()
			first.cmd("QUIT", "221")
			first.ended()
			waitUntil(t, "the place to be free", func() bool { return g.counter("sendguard_open_sessions") == 1 })
			g.greeted()
		})
	}
}

// waitUntil polls a condition of the guard's own state.
func waitUntil(t testing.TB, what string, cond func() bool) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	timeout := time.After(patience)
	for !cond() {
		select {
		case <-ticker.C:
		case <-timeout:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestLimitOfRecipients(t *testing.T) {
	u := newUpstream(t)
	c := newGuard(t, u, func(s *setup) { s.limits.Recipients = 3 }).greeted()
	for range 2 { // the count is of one transaction
		c.cmd("MAIL FROM:<me@home.example>", "250")
		for i := range 3 {
			c.cmd(fmt.Sprintf("RCPT TO:<r%d@there.example>", i), "250")
		}
		c.cmd("RCPT TO:<r4@there.example>", "452 4.5.3")
		c.cmd("DATA", "354")
		c.send(plain + ".\r\n")
		c.want("250")
	}
}

func TestARefusalDoesNotWaitForTheUpstreamsRSET(t *testing.T) {
	u := newUpstream(t)
	told := make(chan struct{})
	u.on = func(line string) string {
		if line == "RSET" {
			select {
			case <-told:
			case <-time.After(patience):
				return "451 nobody was told"
			}
		}
		return ""
	}
	c := newGuard(t, u).greeted()
	c.message(leaking(43), "550 5.7.1")
	close(told)
	c.message(plain, "250")
}

func TestAHalfCommandBehindAMessageHasItsOwnTime(t *testing.T) {
	u := newUpstream(t)
	u.on = func(line string) string {
		if line == "." {
			time.Sleep(200 * time.Millisecond) // the upstream is slower than stall
		}
		return ""
	}
	c := newGuard(t, u, func(s *setup) { s.limits.Stall = 100 * time.Millisecond }).greeted()
	c.envelope()
	c.send(plain + ".\r\nNO")
	c.want("250")
	c.send("OP\r\n")
	c.want("250")
}

func TestAStopEndsAClientWithHalfACommand(t *testing.T) {
	g := newGuard(t, newUpstream(t))
	c := g.greeted()
	c.cmd("NOOP", "250")
	c.send("NOOP\r\nNO") // in one packet, so that the half is there when the first is answered
	c.want("250")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := g.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	c.want("421 4.3.2")
	c.ended()
}

func TestAMessageThatWasBufferedWhenItsConnectionBrokeIsNotSent(t *testing.T) {
	u := newUpstream(t)
	asked, gone := make(chan struct{}), make(chan struct{})
	u.on = func(line string) string {
		if strings.HasPrefix(line, "RCPT") {
			close(asked)
			select {
			case <-gone:
			case <-time.After(patience):
			}
		}
		return ""
	}
	g := newGuard(t, u)
	c := g.greeted()
	c.cmd("MAIL FROM:<me@home.example>", "250")
	c.send("RCPT TO:<you@there.example>\r\nDATA\r\n" + plain + ".\r\n")
	<-asked
	c.conn.(*net.TCPConn).SetLinger(0) // a reset
	c.conn.Close()
	close(gone)
	waitUntil(t, "the session to end", func() bool { return g.counter("sendguard_open_sessions") == 0 })
	if _, got, _ := u.got(); len(got) > 0 {
		t.Errorf("upstream got %q", got)
	}
}
