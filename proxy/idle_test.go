package proxy

import (
	"io"
	"net"
	"slices"
	"strings"
	"testing"
)

// answers is an upstream's on that says something of its own to some commands.
func answers(replies map[string]string) func(string) string {
	return func(line string) string { return replies[line] }
}

func TestRSETAndNOOPAreTheUpstreamsToAnswer(t *testing.T) {
	replies := map[string]string{"NOOP hello": "250-2.0.0 still\n250 2.0.0 here", "NOOP": "451 4.3.0 busy", "RSET": "502 5.5.1 no RSET here", "RSET ": "250 2.1.5 Flushed"}
	for name, change := range map[string]func(*setup){"the client's login": func(*setup) {}, "none, within a transaction": withReuse} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t)
			u.on = answers(replies)
			c := newGuard(t, u, change).greeted()
			c.cmd("MAIL FROM:<me@home.example>", "250")
			for _, line := range []string{"NOOP hello", "NOOP", "RSET"} {
				if got := c.cmd(line, replies[line][:3]); got != replies[line] {
					t.Errorf("%s: got %q, want %q", line, got, replies[line])
				}
			}
			c.cmd("RCPT TO:<you@there.example>", "250") // what was not reset goes on
			c.cmd("RSET ", "250 2.1.5 Flushed")
			c.cmd("RCPT TO:<you@there.example>", "503 5.5.1")
			c.message(plain, "250 2.0.0 queued")
		})
	}
}

// A client that keeps its connection asks with RSET or NOOP whether there is
// still a server, and takes another connection for its next message if not.
func TestAClientThatAsksLearnsThatTheUpstreamHasGone(t *testing.T) {
	for _, ask := range []string{"RSET", "NOOP"} {
		u := newUpstream(t)
		u.fail = func(at string, conn net.Conn) bool {
			if at == "." {
				io.WriteString(conn, "250 2.0.0 queued\r\n") // and closes
			}
			return at == "."
		}
		c := newGuard(t, u).greeted()
		c.message(plain, "250")
		u.waitFor("the upstream to close", func() bool { return u.open == 0 })
		c.cmd(ask, "421 4.4.2 Not sent: trouble with 127.0.0.1: connection lost")
		c.ended()
	}
}

func TestIdleCommandsOfOneClientCostNoOtherClient(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u, withReuse)
	c := g.greeted()
	for range 3 * maxUnproductive {
		c.cmd("NOOP", "250")
		c.cmd("RSET", "250")
		c.cmd("EHLO client.test", "250")
	}
	c.cmd("QUIT", "221")
	c.ended()
	waitUntil(t, "the session to end", func() bool { return g.counter("sendguard_open_sessions") == 0 })
	g.oneMessage(plain)
	if commands, _, _ := u.got(); count(commands, "EHLO") != 1 || count(commands, "NOOP") != 0 || count(commands, "RSET") > 2 {
		t.Errorf("upstream was sent %q", commands)
	}
}

// Some servers take leave with another code than 421, Amazon SES with 451.
func TestAGoodbyeOfAnyCodeIsPassedOn(t *testing.T) {
	for _, goodbye := range []string{"451 4.4.2 Timeout waiting for data from client.", "421 4.4.2 idle", "554 5.7.1 no more of you"} {
		for _, line := range []string{"RSET", "NOOP", "MAIL FROM:<me@home.example>", "AUTH PLAIN " + b64("\x00me\x00secret"), "EHLO again.test"} {
			u := newUpstream(t)
			said := make(chan struct{}, 2)
			u.after = func(verb string, say func(string)) {
				if verb == "NOOP" {
					say(goodbye)
					said <- struct{}{}
				}
			}
			g := newGuard(t, u)
			c := g.greeted()
			c.cmd("NOOP", "250")
			<-said // before the next command goes upstream
			c.cmd(line, goodbye)
			if !strings.HasPrefix(goodbye, "421") {
				c.cmd("RSET", "421 4.4.2 The connection to the server was closed, connect again")
			}
			c.ended()
		}
	}
}

func TestAConnectionThatSaidGoodbyeWithAnyCodeIsReplacedUnheard(t *testing.T) {
	u := newUpstream(t)
	goodbyes := make(chan string, 1)
	goodbyes <- "451 4.4.2 Timeout waiting for data from client."
	u.after = func(verb string, say func(string)) {
		if verb == "EHLO" {
			select {
			case goodbye := <-goodbyes:
				say(goodbye)
			default:
			}
		}
	}
	g := newGuard(t, u, withReuse)
	g.oneMessage(plain)
	if n := g.counter("sendguard_upstream_connects_total", "result", "ok"); n != 2 {
		t.Errorf("connected %v times", n)
	}
}

// Exim counts the RSET behind a message that was refused here, and ends the
// session after ten of them.
func TestWhatTheUpstreamSaysToTheRSETBehindARefusalIsTold(t *testing.T) {
	for _, tc := range []struct{ said, relayed string }{
		{"554 Too many nonmail commands", "421 4.4.2 The server ended the session, connect again: Too many nonmail commands"},
		{"421 4.7.0 too many errors", "421 4.7.0 too many errors"},
	} {
		for name, change := range map[string]func(*setup){"relay": func(*setup) {}, "reuse": withReuse} {
			u := newUpstream(t)
			u.on = answers(map[string]string{"RSET": tc.said})
			c := newGuard(t, u, change).greeted()
			c.message(leaking(43), "550 5.7.1")
			if name == "relay" {
				c.cmd("MAIL FROM:<me@home.example>", tc.relayed)
				c.ended()
			} else {
				c.message(plain, "250 2.0.0 queued")
			}
		}
	}
}

func TestAClientWhoseGreetingWasRefusedMayGreetAnew(t *testing.T) {
	const no = "550-5.7.1 who is that?\n550 5.7.1 your name is no name"
	for name, tc := range map[string]struct {
		refuses func(string) bool
		dialog  [][2]string
	}{
		"with another name":   {func(s string) bool { return s == "EHLO bad" }, [][2]string{{"EHLO bad", no}, {"EHLO client.test", "250"}}},
		"with HELO":           {func(s string) bool { return strings.HasPrefix(s, "EHLO") }, [][2]string{{"EHLO client.test", no}, {"HELO client.test", "250"}}},
		"and is refused anew": {func(s string) bool { return s == "EHLO bad" || s == "HELO bad" }, [][2]string{{"EHLO bad", no}, {"HELO bad", no}, {"MAIL FROM:<me@home.example>", "503 5.5.1"}, {"EHLO good", "250"}}},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t)
			u.on = func(line string) string {
				if tc.refuses(line) {
					return no
				}
				return ""
			}
			c := newGuard(t, u).dial()
			c.want("220")
			for _, step := range tc.dialog {
				c.cmd(step[0], step[1])
			}
			c.message(plain, "250 2.0.0 queued")
		})
	}
}

func TestAnotherEHLOShowsWhatTheUpstreamOffersThen(t *testing.T) {
	u := newUpstream(t)
	loggedIn := false
	u.on = func(line string) string {
		switch {
		case strings.HasPrefix(line, "AUTH"):
			loggedIn = true
		case line == "EHLO no":
			return "501 5.5.4 no"
		case strings.HasPrefix(line, "EHLO") && loggedIn:
			return "250-upstream.test\n250-DSN\n250 SIZE 77"
		}
		return ""
	}
	c := newGuard(t, u).greeted()
	c.cmd("AUTH PLAIN "+b64("\x00me\x00secret"), "235")
	if got, want := c.cmd("EHLO client.test", "250"), "250-localhost\n250-PIPELINING\n250-ENHANCEDSTATUSCODES\n250-DSN\n250 SIZE 77"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	c.cmd("MAIL FROM:<me@home.example>", "250")
	c.cmd("EHLO no", "501 5.5.4 no") // changes nothing, RFC 5321 section 4.1.4
	c.cmd("RCPT TO:<you@there.example>", "250")
	c.cmd("EHLO client.test", "250") // ends the transaction
	c.cmd("RCPT TO:<you@there.example>", "503 5.5.1")
	if commands, _, _ := u.got(); slices.Contains(commands, "RSET") {
		t.Errorf("upstream was sent %q", commands)
	}
	c.message(plain, "250")
}

func TestVRFYIsAnsweredWhereMAILWouldBeTaken(t *testing.T) {
	u := newUpstream(t)
	c := newGuard(t, u).dial()
	c.want("220")
	c.cmd("VRFY me", "503 5.5.1")
	c.cmd("EHLO client.test", "250")
	c.cmd("VRFY me", "252 2.5.0")
	if commands, _, _ := u.got(); slices.Contains(commands, "VRFY me") {
		t.Errorf("upstream was sent %q", commands)
	}
	mustLogIn := newGuard(t, newUpstream(t), func(s *setup) { s.route = func(r *Route) { r.AuthRequired = true } }).greeted()
	mustLogIn.cmd("VRFY me", "530 5.7.0")
}

func TestACommandBeforeEHLOIsOutOfOrder(t *testing.T) {
	u := newUpstream(t)
	c := newGuard(t, u).dial()
	c.want("220")
	for _, line := range []string{"MAIL FROM:<me@home.example>", "RCPT TO:<you@there.example>", "DATA", "AUTH PLAIN"} {
		c.cmd(line, "503 5.5.1 Send EHLO first")
	}
	for _, line := range []string{"EHLO", "HELO ", "EHLO \t"} {
		c.cmd(line, "501 5.5.4")
	}
	c.cmd("RSET", "250")
	c.cmd("NOOP", "250")
	c.cmd("EHLO client.test", "250")
	c.message(plain, "250")
}

func TestWhiteSpaceAroundACommandIsNothing(t *testing.T) {
	u := newUpstream(t)
	u.on = func(line string) string { // as lenient as servers are
		switch verb := verbOf([]byte(line)); verb {
		case "MAIL", "RCPT", "NOOP", "RSET":
			return "250 2.0.0 ok"
		case "AUTH":
			return "235 2.7.0 welcome"
		}
		return ""
	}
	c := newGuard(t, u).dial()
	c.want("220")
	for line, want := range map[string]string{" EHLO client.test": "250", "EHLO\tclient.test  ": "250", "ehlo client.test\t": "250", "\tHELO  client.test ": "250"} {
		c.cmd(line, want)
	}
	c.cmd("  AUTH  PLAIN "+b64("\x00me\x00secret")+" ", "235")
	for _, data := range []string{"DATA ", "data\t", " DATA", "\t DATA \t "} {
		for _, line := range []string{"NOOP ", " RSET", "RSET\t", "NOOP  ", "\tMAIL FROM:<me@home.example> ", " RCPT TO:<you@there.example>\t"} {
			c.cmd(line, "250 2.0.0 ok")
		}
		c.cmd(data, "354")
		c.send(plain + ".\r\n")
		c.want("250 2.0.0 queued")
	}
	c.cmd("QUIT ", "221")
	c.ended()
	commands, got, _ := u.got()
	if len(got) != 4 || count(commands, "\tMAIL FROM:<me@home.example> ") != 4 || count(commands, "EHLO client.test") != 4 {
		t.Errorf("upstream got %d messages and %q", len(got), commands)
	}
}

func TestTheCountOfErrorsStartsAnewWithAnAcceptedMessage(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u)
	c := g.greeted()
	wrong := []string{"BOGUS", "DATA now", "RCPT TO:<you@there.example>", "", "EHLO", "AUTH"} // of all kinds
	errors := func() {
		for i := range maxCommandErrors {
			c.cmd(wrong[i%len(wrong)], "5")
		}
	}
	for range 3 {
		errors()
		c.message(plain, "250")
	}
	errors()
	c.cmd("MAIL", "250") // the upstream's to say
	c.send("BOGUS\r\n")
	c.want("502")
	c.want("421 4.7.0 Too many errors")
	c.ended()
}

// A server that shuts down may do so between 354 and the message.
func TestAGoodbyeBehind354IsPassedOn(t *testing.T) {
	for _, goodbye := range []string{"451 4.4.2 Timeout waiting for data from client.", "421 4.3.2 shutting down"} {
		for name, change := range map[string]func(*setup){"one message": func(*setup) {}, "copies": individual} {
			u := newUpstream(t)
			u.on = answers(map[string]string{"DATA": "354 go ahead\n" + goodbye})
			c := newGuard(t, u, change).greeted()
			c.cmd("MAIL FROM:<me@home.example>", "250")
			c.cmd("RCPT TO:<p1@there.example>", "250")
			c.cmd("RCPT TO:<p2@there.example>", "250")
			c.cmd("DATA", "354")
			c.send(leaking(9) + ".\r\n")
			want := goodbye
			if name == "copies" {
				want = "451 4.3.0 Sent to 0 of 2; send it again, and only those without a copy get one. The reason: " + goodbye[len("421 4.3.2 "):]
			}
			c.want(want)
			if _, messages, _ := u.got(); len(messages) > 0 {
				t.Errorf("%s, %s: upstream took %d messages", name, goodbye, len(messages))
			}
		}
	}
}

// The name of a greeting is kept as long as the connection, and in the pool.
func TestAGreetingThatIsTooLongIsRefused(t *testing.T) {
	u := newUpstream(t)
	c := newGuard(t, u, withReuse).dial()
	c.want("220")
	long := strings.Repeat("a", maxEnvelopeLine)
	c.cmd("EHLO "+long, "500 5.5.2")
	c.cmd("HELO "+long, "500 5.5.2")
	c.cmd("EHLO client.test", "250")
	c.cmd("EHLO "+long, "500 5.5.2")
	c.message(plain, "250")
	if commands, _, _ := u.got(); slices.ContainsFunc(commands, func(line string) bool { return len(line) > maxEnvelopeLine }) {
		t.Error("upstream was sent it")
	}
}
