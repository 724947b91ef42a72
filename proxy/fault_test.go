package proxy

import (
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"sendguard/proxy/upstream"
)

// A misdeed is what an upstream does once, instead of giving its answer.
type misdeed struct {
	mode    string // how the guard is set up
	at, how string
	nth     int32 // time that the command comes
	times   atomic.Int32
}

// said are misdeeds in words.
var said = map[string]string{"refuses": "451 4.3.0 not now", "takes leave": "421 4.3.2 going down", "garbage": "\x00\xff what?"}

// done are misdeeds of another kind; the connection ends behind them.
var done = map[string]func(net.Conn){
	"closes": func(net.Conn) {},
	"resets": func(c net.Conn) { tcpOf(c).SetLinger(0) },
	"hangs":  func(c net.Conn) { io.Copy(io.Discard, c) },
	"late":   func(c net.Conn) { io.Copy(io.Discard, c); io.WriteString(c, "250 2.0.0 after all\r\n") },
	"trickles": func(c net.Conn) {
		for err := error(nil); err == nil; time.Sleep(faultTime / 5) {
			_, err = io.WriteString(c, "2")
		}
	},
	"no end": func(c net.Conn) {
		io.WriteString(c, strings.Repeat("250-and so on, and on\r\n", 2*maxReply/23))
		io.Copy(io.Discard, c)
	},
}

// faultTime is what the guard grants the upstream.
const faultTime = 2 * time.Second

// atOnce is how many of these tests run at one time: many only wait.
const atOnce = 24

func tcpOf(c net.Conn) *net.TCPConn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	return c.(*net.TCPConn)
}

// now reports whether the time for it has come.
func (m *misdeed) now(at string) bool { return strings.EqualFold(at, m.at) && m.times.Add(1) == m.nth }

// on and fail are the upstream's.
func (m *misdeed) on(line string) string {
	usual := map[string]string{"AUTH LOGIN": "334 VXNlcm5hbWU6", b64("tim"): "334 UGFzc3dvcmQ6", b64(rightPassword): loginOK}[line]
	if words := said[m.how]; words != "" && m.now(place(line)) {
		return words
	}
	return usual
}

func (m *misdeed) fail(at string, conn net.Conn) bool {
	do := done[m.how]
	if do == nil || !m.now(place(at)) {
		return false
	}
	do(conn)
	return true
}

// place is where in a session a line comes.
func place(line string) string {
	switch verb := verbOf([]byte(line)); verb {
	case "":
		return "greeting"
	case strings.ToUpper(b64("tim")):
		return "response"
	default:
		return verb
	}
}

// misdeeds are all of them at each place where the guard waits, and some of each
// kind in the other modes.
func misdeeds() (all []*misdeed) {
	for mode, places := range map[string][]string{
		"relay":      {"greeting", "EHLO", "AUTH", "response", "NOOP", "MAIL", "RCPT", "RSET", "DATA", "body", ".", "QUIT"},
		"tls":        {"STARTTLS", "handshake", "MAIL", "DATA", "body", "."},
		"login":      {"AUTH", "response"},
		"reuse":      {"greeting", "NOOP", "MAIL", "RCPT", "RSET", "DATA", "body", "."},
		"individual": {"RSET", "MAIL", "RCPT", "DATA", "body", "."},
	} {
		hows := []string{"refuses", "takes leave", "garbage", "closes", "hangs"}
		if mode == "relay" {
			hows = slices.Concat(slices.Collect(maps.Keys(said)), slices.Collect(maps.Keys(done)))
		}
		for _, at := range places {
			for _, how := range hows {
				if said[how] != "" && (at == "handshake" || at == "body") {
					continue
				}
				m := &misdeed{mode: mode, at: at, how: how, nth: 1}
				if mode == "individual" { // of the first copy, behind the client's own
					m.nth = map[string]int32{"MAIL": 2, "RCPT": 3}[at]
					m.nth = max(m.nth, 1)
				}
				all = append(all, m)
			}
		}
	}
	return all
}

// TestAnUpstreamThatDoesWrongOnceLosesAndDoublesNothing has an upstream do each misdeed once, and the client
// try again as it would. With -v it prints the table of what became of each.
func TestAnUpstreamThatDoesWrongOnceLosesAndDoublesNothing(t *testing.T) {
	roots, cert := certificate(t, "127.0.0.1", tomorrow())
	own := newPair(t, upstream.TLSStartTLS)
	rows := make([]string, len(misdeeds()))
	var wg sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for i, m := range misdeeds() {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			t.Run(m.mode+", "+m.at+", "+m.how, func(t *testing.T) {
				u := newUpstream(t)
				u.on, u.fail, u.caps = m.on, m.fail, []string{"PIPELINING", "AUTH LOGIN"}
				if m.mode == "tls" {
					u.tls = &tls.Config{Certificates: []tls.Certificate{cert}}
				}
				g := newGuard(t, u, m.setup, func(s *setup) {
					if m.mode == "tls" {
						own.on(s)
						s.upstream.TLS, s.upstream.RootCAs = upstream.TLSStartTLS, roots
					}
				})
				rows[i] = m.check(g, u, own)
			})
		})
	}
	wg.Wait()
	slices.Sort(rows)
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "mode\tat\tupstream\tcopies then\ttold after\tclean after\tthe client was told\n", strings.Join(rows, ""))
	w.Flush()
	t.Log("\n" + table.String())
}

func (m *misdeed) setup(s *setup) {
	s.limits.UpstreamReply, s.limits.Connect, s.limits.Stall = faultTime, faultTime, faultTime
	s.upstream.Relay = m.mode == "relay" || m.mode == "tls"
	switch m.mode {
	case "reuse":
		withReuse(s)
	case "login":
		withLogin(rightPassword, nil)(s)
	case "individual":
		withReuse(s)
		individual(s)
	}
}

// check has the misdeed done, and the client try again. It returns the row of
// the table.
func (m *misdeed) check(g *guard, u *upstreamServer, own *pair) string {
	start := time.Now()
	told := m.send(g, u, own)
	took := time.Since(start)
	first := m.copies(u)
	if prefix, why := m.expected(); !strings.HasPrefix(told, prefix) || !strings.Contains(told, why) {
		g.t.Errorf("the client was told %q, want %q… %q", told, prefix, why)
	}
	sent := told[:3] == "250"
	if n := g.counter("sendguard_session_faults_total"); said[m.how] == "" && !sent && n < 1 {
		g.t.Error("no fault is counted")
	}
	if sent && slices.Min(first) != 1 || !sent && m.mode != "individual" && m.at != "." && slices.Max(first) > 0 {
		g.t.Errorf("the client was told %q, and there are %v copies", told, first)
	}
	clean := m.cleanUp(g, u)
	if !sent {
		if again := m.send(g, u, own); again[:3] != "250" {
			g.t.Errorf("at the second try the client was told %q", again)
		}
		m.cleanUp(g, u)
	}
	most := 1
	if m.at == "." { // what came without a word about it, or was refused
		most = 2
	}
	if all := m.copies(u); slices.Min(all) < 1 || slices.Max(all) > most {
		g.t.Errorf("after the second try there are %v copies", all)
	}
	return fmt.Sprintf("%s\t%s\t%s\t%v\t%d ms\t%d ms\t%s\n", m.mode, m.at, m.how, first, took.Milliseconds(), clean.Milliseconds(), told)
}

// send is a session as a mail client has it. It returns the first refusal, or
// the reply to the message.
func (m *misdeed) send(g *guard, u *upstreamServer, own *pair) (told string) {
	c := g.dial()
	c.want("220")
	if m.mode == "tls" {
		c.startTLS(own.config())
	}
	commands, _, _ := u.got()
	to := people(2)
	envelope := []string{"MAIL FROM:<me@home.example>", "RCPT TO:<" + to[0] + ">", "RCPT TO:<" + to[1] + ">"}
	steps := []string{"EHLO client.test"}
	if m.mode == "relay" {
		steps = append(steps, "AUTH LOGIN", b64("tim"), b64(rightPassword))
	}
	if m.mode != "individual" {
		steps = slices.Concat(steps, []string{"NOOP"}, envelope, []string{"NOOP", "RSET"})
	}
	steps = slices.Concat(steps, envelope, []string{"DATA"})
	for _, line := range steps {
		c.send(line + "\r\n")
		if told = c.reply(); told == "" || told[0] >= '4' {
			return m.leave(c, told)
		}
	}
	c.send(newsletter("1", to))
	if m.at == "body" && m.mode != "individual" {
		u.waitFor("DATA", func() bool { return count(u.commands, "DATA") > count(commands, "DATA") })
	}
	c.send(".\r\n")
	return m.leave(c, c.reply())
}

// leave ends the session, which must have told something.
func (m *misdeed) leave(c *client, told string) string {
	if len(told) < 3 {
		c.t.Fatalf("the client was told %q", told)
	}
	io.WriteString(c.conn, "QUIT\r\n") // where it is not closed
	for r := c.reply(); r != ""; r = c.reply() {
		if r[:3] != "221" {
			c.t.Errorf("behind %q it was told %q", told, r)
		}
	}
	c.conn.Close()
	return told
}

// copies counts the messages that came whole for each recipient.
func (m *misdeed) copies(u *upstreamServer) []int {
	n := make([]int, 2)
	_, messages, _ := u.got()
	for _, message := range messages {
		for i, r := range people(2) {
			if to := newsletter("1", []string{r}); message == to || message == newsletter("1", people(2)) {
				n[i]++
			}
		}
	}
	return n
}

// cleanUp waits until no session and no connection upstream is left, but the one
// that may be kept for reuse, and returns how long that took.
func (m *misdeed) cleanUp(g *guard, u *upstreamServer) time.Duration {
	start := time.Now()
	waitUntil(g.t, "the sessions to end", func() bool { return g.counter("sendguard_open_sessions") == 0 })
	kept := min(1, g.routes[0].config.Upstream.MaxIdle)
	u.waitFor("the connections to end", func() bool { return u.open <= kept })
	return time.Since(start)
}

// expected is how the reply to the misdeed begins, and what it holds. A 250 is
// that to the message: the misdeed does not matter to the client.
func (m *misdeed) expected() (prefix, why string) {
	const trouble, unreachable = "Not sent: trouble with 127.0.0.1: ", "421 4.4.1 Not sent: cannot reach 127.0.0.1: "
	switch m.how {
	case "closes", "resets":
		why = "connection lost"
	case "garbage", "no end":
		why = "it does not speak SMTP"
	case "hangs", "late", "trickles":
		why = "no answer"
	}
	switch renewed := m.mode == "reuse" && why != "no answer" && m.how != "refuses"; {
	case m.at == "QUIT", renewed && m.at == "MAIL":
		return "250", ""
	case m.mode == "individual":
		return "451 4.3.0 Sent to ", why
	case m.at == "STARTTLS" && said[m.how] != "" && why == "":
		return unreachable + "it refused STARTTLS", ""
	case m.mode == "login" && why == "":
		return "451 4.7.0 Not sent: sendguard cannot log in at 127.0.0.1: it cannot check the login at this moment", ""
	case why == "":
		return said[m.how], ""
	case m.at == "handshake":
		return unreachable, "TLS"
	case m.at == "greeting" && why == "no answer":
		return unreachable + "it sends no greeting", ""
	case m.at == "greeting", m.at == "EHLO", m.at == "STARTTLS", m.mode == "login":
		return unreachable, why
	case m.at == "body": // how much of it was sent, the upstream does not say
		return "451 4.4.2 ", ""
	case m.at == "DATA":
		return "451 4.4.2 " + trouble, why
	case m.at == ".":
		return "451 4.4.2 Perhaps not sent: no last word from 127.0.0.1: ", why
	}
	return "421 4.4.2 " + trouble, why
}
