package proxy

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"sendguard/proxy/upstream"
)

// A departure is how a client goes in the middle of a session.
type departure struct {
	mode string // how the guard is set up
	at   string // behind what it goes
	how  string
	told string // start of its last reply
	f    fault  // what is counted; "": it is nobody's fault
}

// goes are the ways to go. Those that do not close leave it to the guard.
var goes = map[string]func(c *client){
	"closes":       func(c *client) { c.conn.Close() },
	"resets":       func(c *client) { tcpOf(c.conn).SetLinger(0); tcpOf(c.conn).Close() },
	"half-closes":  func(c *client) { c.conn.(interface{ CloseWrite() error }).CloseWrite() },
	"falls silent": func(*client) {},
	"trickles": func(c *client) { // a command that takes longer than the limit, byte by byte
		for err := error(nil); err == nil; time.Sleep(faultTime / 5) {
			_, err = c.conn.Write([]byte("N"))
		}
	},
}

// script is a session in steps; a body is sent in tenths.
func (d *departure) script() (steps [][2]string) {
	to := people(2)
	steps = [][2]string{{"EHLO", "EHLO client.test\r\n"}}
	if d.mode != "reuse" && d.mode != "individual" {
		steps = append(steps, [2]string{"AUTH", "AUTH LOGIN\r\n"}, [2]string{"AUTH", b64("tim") + "\r\n"}, [2]string{"AUTH", b64(rightPassword) + "\r\n"})
	}
	steps = append(steps, [2]string{"MAIL", "MAIL FROM:<me@home.example>\r\n"}, [2]string{"RCPT", "RCPT TO:<" + to[0] + ">\r\n"},
		[2]string{"RCPT", "RCPT TO:<" + to[1] + ">\r\n"}, [2]string{"DATA", "DATA\r\n"})
	message := newsletter("1", to) + strings.Repeat("0123456789 and so on\r\n", 10_000) + ".\r"
	for i := range 10 {
		steps = append(steps, [2]string{fmt.Sprint("body ", i), message[i*len(message)/10 : (i+1)*len(message)/10]})
	}
	return steps
}

// departures are all of them: behind the greeting, in the middle of a command,
// behind each command and at each tenth of a body.
func departures() (all []*departure) {
	for _, mode := range []string{"relay", "tls", "reuse", "individual"} {
		hows := []string{"closes", "falls silent"}
		if mode == "relay" || mode == "tls" {
			hows = append(hows, "resets", "half-closes", "trickles")
		}
		base := &departure{mode: mode}
		for i := 0; i <= len(base.script()); i++ {
			for _, how := range hows {
				d := &departure{mode: mode, at: "greeting", how: how}
				if i > 0 {
					d.at = fmt.Sprintf("%2d %s", i, base.script()[i-1][0])
				}
				inBody := strings.Contains(d.at, "body") || strings.Contains(d.at, "DATA")
				switch {
				case inBody && how == "trickles": // bytes do come
					continue
				case how == "falls silent" && mode != "relay" && inBody && !strings.HasSuffix(d.at, "5"): // it takes time
					continue
				case how == "falls silent" || how == "trickles":
					d.told, d.f = "421 4.4.2 Idle for too long", faultClientTimeout
					if inBody {
						d.told = "421 4.4.2 Not sent: the message stopped coming in"
					}
				case inBody:
					d.f = faultClientGone
				}
				all = append(all, d)
			}
		}
	}
	return all
}

// TestAClientThatGoesFinishesNothing has a client go in every way at every
// place. With -v it prints the table of what became of each.
func TestAClientThatGoesFinishesNothing(t *testing.T) {
	own := newPair(t, upstream.TLSStartTLS)
	rows := make([]string, len(departures()))
	var wg sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for i, d := range departures() {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			t.Run(d.mode+", "+d.at+", "+d.how, func(t *testing.T) { rows[i] = d.check(t, own) })
		})
	}
	wg.Wait()
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "mode\tbehind\tclient\tbroken off there\tclean after\tthe client was told\n", strings.Join(rows, ""))
	w.Flush()
	t.Log("\n" + table.String())
}

func (d *departure) check(t *testing.T, own *pair) string {
	m := &misdeed{mode: d.mode} // none, but its server and set-up
	u := newUpstream(t)
	u.on, u.caps = m.on, []string{"PIPELINING", "AUTH LOGIN"}
	g := newGuard(t, u, m.setup, func(s *setup) {
		s.limits.Idle, s.limits.UpstreamReply = faultTime, patience
		if d.mode == "tls" {
			own.on(s)
		}
	})
	c := g.dial()
	c.want("220")
	if d.mode == "tls" {
		c.startTLS(own.config())
	}
	d.play(c)
	start := time.Now()
	goes[d.how](c)
	told := "" // what is said to who has gone, nobody hears
	if d.told != "" {
		told = c.reply()
	}
	if !strings.HasPrefix(told, d.told) || d.told == "" && told != "" {
		t.Errorf("the client was told %q, want %q", told, d.told)
	}
	m.cleanUp(g, u)
	took := time.Since(start)
	if _, got, _ := u.got(); len(got) > 0 {
		t.Errorf("upstream got %d messages", len(got))
	}
	faults, this := g.counter("sendguard_session_faults_total"), float64(0)
	if d.f != "" {
		this = g.faults(d.f)
	}
	if faults != this || (d.f == "") != (this == 0) {
		t.Errorf("%v faults are counted, %v of them %s", faults, this, d.f)
	}
	_, _, broken := u.got()
	if again := m.send(g, u, own); again[:3] != "250" || slices.Max(m.copies(u)) != 1 {
		t.Errorf("the next client was told %q, and there are %v copies", again, m.copies(u))
	}
	return fmt.Sprintf("%s\t%s\t%s\t%d\t%d ms\t%s\n", d.mode, d.at, d.how, len(broken), took.Milliseconds(), cmp.Or(told, "-"))
}

// play is the session up to where the client goes.
func (d *departure) play(c *client) {
	for i, step := range d.script() {
		if d.at == "greeting" {
			return
		}
		c.send(step[1])
		if !strings.HasPrefix(step[0], "body") {
			if r := c.reply(); r == "" || r[0] > '3' {
				c.t.Fatalf("%s: %q", step[0], r)
			}
		}
		if d.at == fmt.Sprintf("%2d %s", i+1, step[0]) {
			return
		}
	}
}

// TestAHalfClosedClientHearsWhatBecameOfItsMessage: it has said all that it
// has to say, in one breath.
func TestAHalfClosedClientHearsWhatBecameOfItsMessage(t *testing.T) {
	own := newPair(t, upstream.TLSImplicit)
	for _, secure := range []bool{false, true} {
		u := newUpstream(t)
		g := newGuard(t, u, func(s *setup) {
			if secure {
				own.on(s)
			}
		})
		c := g.dial()
		if secure {
			c.handshake(own.config())
		}
		c.send(strings.TrimSuffix(dialogue(plain), "QUIT\r\n"))
		if secure {
			c.conn.(*tls.Conn).CloseWrite()
		} else {
			c.conn.(*net.TCPConn).CloseWrite()
		}
		for _, want := range []string{"220", "250", "250", "250", "354", "250 2.0.0 queued", "250", "250", "354", "250 2.0.0 queued", ""} {
			c.want(want)
		}
		if _, got, _ := u.got(); !slices.Equal(got, []string{plain, plain}) {
			t.Errorf("upstream got %q", got)
		}
	}
}

// TestAClientThatGoesBehindItsFinalDotHasSentItsMessage: nobody can take it back
// (RFC 1047), and it goes out once.
func TestAClientThatGoesBehindItsFinalDotHasSentItsMessage(t *testing.T) {
	for how, goes := range goes {
		if how == "falls silent" || how == "trickles" {
			continue
		}
		u := newUpstream(t)
		arrived, gone := make(chan struct{}), make(chan struct{})
		u.on = func(line string) string {
			if line == "." {
				close(arrived)
				<-gone
			}
			return ""
		}
		g := newGuard(t, u, withReuse)
		c := g.greeted()
		c.envelope()
		c.send(plain + ".\r\n")
		<-arrived
		goes(c)
		close(gone)
		waitUntil(t, "the session to end", func() bool { return g.counter("sendguard_open_sessions") == 0 })
		if _, got, _ := u.got(); !slices.Equal(got, []string{plain}) || g.counter("sendguard_message_outcomes_total", "outcome", "accepted") != 1 {
			t.Errorf("it %s: upstream got %q", how, got)
		}
	}
}

func TestNULInAMessageNeverChangesIt(t *testing.T) {
	for name, message := range map[string]string{
		"body":   strings.Replace(plain, "How", "\x00H\x00ow", 1) + "\x00.\r\n",
		"field":  strings.Replace(plain, "hello", "hel\x00lo", 1),
		"name":   strings.Replace(plain, "Subject", "Sub\x00ject", 1),
		"list":   strings.Replace(plain, "you@there.example", "you@there.example\x00, a@b.example", 1),
		"ending": strings.Replace(plain, "\r\n\r\n", "\r\n\x00\r\n\r\n", 1),
	} {
		u := newUpstream(t)
		c := newGuard(t, u).greeted()
		c.envelope()
		c.send(message + ".\r\n")
		told := c.reply()
		_, got, _ := u.got()
		if sent := told[:3] == "250"; sent && !slices.Equal(got, []string{message}) || !sent && (len(got) > 0 || !strings.HasPrefix(told, "550 5.6.0")) {
			t.Errorf("%s: told %q, upstream got %q", name, told, got)
		}
		c.cmd("NOOP", "250")
	}
}
