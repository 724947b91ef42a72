package proxy

import (
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sendguard/proxy/upstream"
)

// withReuse keeps connections to an upstream that wants no login.
func withReuse(s *setup) { s.upstream.Relay, s.upstream.MaxIdle = false, 4 }

// oneMessage is a session with one message. At its end the guard is done with
// the upstream, too.
func (g *guard) oneMessage(m string) {
	g.t.Helper()
	c := g.greeted()
	c.message(m, "250")
	c.cmd("QUIT", "221")
	c.ended()
}

func count(list []string, prefix string) (n int) {
	for _, s := range list {
		if strings.HasPrefix(s, prefix) {
			n++
		}
	}
	return n
}

// numbered is a message that can be told from others.
func numbered(n int) string { return strings.Replace(plain, "hello", fmt.Sprint("hello ", n), 1) }

func TestAConnectionIsReusedByTheNextSession(t *testing.T) {
	roots, cert := certificate(t, "127.0.0.1", tomorrow())
	for name, mode := range map[string]upstream.TLSMode{"in the clear": upstream.TLSNone, "starttls": upstream.TLSStartTLS, "implicit": upstream.TLSImplicit} {
		t.Run(name, func(t *testing.T) {
			u, server := newUpstream(t), &saslServer{username: "tim", password: rightPassword}
			u.on = server.on
			if mode != upstream.TLSNone {
				u.tls, u.implicit = &tls.Config{Certificates: []tls.Certificate{cert}}, mode == upstream.TLSImplicit
			}
			g := newGuard(t, u, withLogin(rightPassword, nil), func(s *setup) {
				s.upstream.MaxIdle, s.upstream.TLS, s.upstream.RootCAs = 4, mode, roots
			})
			want := []string{}
			for n := range 5 {
				g.oneMessage(numbered(n))
				want = append(want, numbered(n))
			}
			commands, got, _ := u.got()
			if !slices.Equal(got, want) {
				t.Errorf("upstream got %q", got)
			}
			if count(commands, "AUTH") != 1 || count(commands, "RSET") != 5 || count(commands, "NOOP") != 0 {
				t.Errorf("upstream was sent %q", commands)
			}
			if n := g.counter("sendguard_upstream_connects_total", "result", "reused"); n != 4 {
				t.Errorf("reused is %v", n)
			}
			if err := g.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			u.waitFor("the guard to take leave at its stop", func() bool { return count(u.commands, "QUIT") == 1 })
		})
	}
}

func TestWhatIsNotReused(t *testing.T) {
	for name, tc := range map[string]struct {
		change  func(*setup)
		session func(*guard)
		on      func(line string) string
	}{
		"none are kept":          {change: func(s *setup) { s.upstream.MaxIdle = 0 }},
		"the client's own login": {change: func(s *setup) { s.upstream.Relay = true }},
		"greeted by another name": {session: func(g *guard) {
			c := g.dial()
			c.want("220")
			c.cmd("EHLO other.test", "250")
			c.cmd("QUIT", "221")
			c.ended()
		}},
		"a transaction was open": {session: func(g *guard) {
			c := g.greeted()
			c.cmd("MAIL FROM:<me@home.example>", "250")
			c.cmd("QUIT", "221")
			c.ended()
		}},
		"a recipient was refused": { // servers count that, and slow down
			on: func(line string) string {
				return map[string]string{"RCPT TO:<nobody@there.example>": "550 5.1.1 no"}[line]
			},
			session: func(g *guard) {
				c := g.greeted()
				c.cmd("MAIL FROM:<me@home.example>", "250")
				c.cmd("RCPT TO:<nobody@there.example>", "550")
				c.cmd("RSET", "250")
				c.message(plain, "250")
				c.cmd("QUIT", "221")
				c.ended()
			}},
		"many commands and no message": {session: func(g *guard) {
			c := g.greeted()
			for range maxUnproductive {
				c.cmd("MAIL FROM:<me@home.example>", "250")
				c.cmd("RSET", "250")
			}
			c.cmd("QUIT", "221")
			c.ended()
		}},
		"RSET was refused":         {on: func(line string) string { return map[string]string{"RSET": "502 no"}[line] }},
		"the upstream takes leave": {on: func(line string) string { return map[string]string{"RSET": "421 enough"}[line] }},
		"RSET is not answered": {change: func(s *setup) { s.limits.UpstreamReply = 200 * time.Millisecond },
			on: func(line string) string { return map[string]string{"RSET": "hang"}[line] }},
		"one reply too many": {on: func(line string) string { return map[string]string{"RSET": "250 ok\n250 and more"}[line] }},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t)
			u.on = tc.on
			change := tc.change
			if change == nil {
				change = func(*setup) {}
			}
			g := newGuard(t, u, withReuse, change)
			if tc.session != nil {
				tc.session(g)
			} else {
				g.oneMessage(plain)
			}
			g.oneMessage(plain)
			if n := g.counter("sendguard_upstream_connects_total", "result", "reused"); n != 0 {
				t.Errorf("reused is %v", n)
			}
			if n := g.counter("sendguard_upstream_connects_total", "result", "ok"); n != 2 {
				t.Errorf("connected %v times", n)
			}
		})
	}
}

// A restartable upstream can be stopped with all its connections, and started.
type restartable struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func (r *restartable) Accept() (net.Conn, error) {
	conn, err := r.Listener.Accept()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.conns = append(r.conns, conn)
	}
	return conn, err
}

// drop ends all connections, having said a word on each.
func (r *restartable) drop(word string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		fmt.Fprint(c, word)
		if word == "" || strings.HasPrefix(word, "421") {
			c.(*net.TCPConn).CloseWrite()
		}
	}
	r.conns = nil
}

func TestAStaleConnectionLosesAndDoublesNoMessage(t *testing.T) {
	for name, tc := range map[string]struct {
		drop func(*restartable)
		on   func(line string) string
	}{
		"closed by the upstream": {drop: func(r *restartable) { r.drop("") }},
		"it said 421 meanwhile":  {drop: func(r *restartable) { r.drop("421 4.4.2 idle for too long\r\n") }},
		"it said something":      {drop: func(r *restartable) { r.drop("250 a reply to nothing\r\n") }},
		"reset by the upstream": {drop: func(r *restartable) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.conns[0].(*net.TCPConn).SetLinger(0)
			r.conns[0].Close()
		}},
		"421 to MAIL":              {on: func(line string) string { return "421 4.7.0 too many messages on one connection" }},
		"closed at MAIL":           {on: func(line string) string { return "close" }},
		"garbage as reply to MAIL": {on: func(line string) string { return "what?" }},
	} {
		for _, where := range []string{"in the next session", "in the same session"} {
			t.Run(name+" "+where, func(t *testing.T) {
				u := newUpstream(t)
				r := &restartable{Listener: u.listener}
				var mails atomic.Int32
				u.listener = r
				u.on = func(line string) string {
					if strings.HasPrefix(line, "MAIL") {
						if mails.Add(1) == 2 && tc.on != nil {
							return tc.on(line)
						}
					}
					return ""
				}
				g := newGuard(t, u, withReuse)
				c := g.greeted()
				c.message(numbered(1), "250")
				if where == "in the next session" {
					c.cmd("QUIT", "221")
					c.ended()
				}
				if tc.drop != nil {
					tc.drop(r)
				}
				if where == "in the next session" {
					c = g.greeted()
				}
				c.message(numbered(2), "250 2.0.0 queued as 12345")
				c.message(numbered(3), "250 2.0.0 queued as 12345")
				if commands, got, broken := u.got(); !slices.Equal(got, []string{numbered(1), numbered(2), numbered(3)}) || len(broken) > 0 || count(commands, "EHLO") != 2 {
					t.Errorf("upstream got %q and %q by %q", got, broken, commands)
				}
			})
		}
	}
}

func TestAnUpstreamThatWasRestarted(t *testing.T) {
	u, again := newUpstream(t), newUpstream(t)
	again.listener.Close()
	r := &restartable{Listener: u.listener}
	u.listener = r
	g := newGuard(t, u, withReuse)
	kept := g.greeted()
	kept.message(numbered(0), "250")
	g.oneMessage(numbered(1))
	address := r.Addr().String()
	r.Close()
	r.drop("")
	c := g.dial()
	c.want("220")
	c.cmd("EHLO client.test", "421 4.4.1 Not sent: cannot reach 127.0.0.1: connection refused")
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	again.listener = l
	t.Cleanup(func() { l.Close() })
	again.start()
	g.oneMessage(numbered(2))
	kept.cmd("NOOP", "250")
	kept.message(numbered(3), "250")
	_, before, _ := u.got()
	_, after, _ := again.got()
	if got := append(before, after...); !slices.Equal(got, []string{numbered(0), numbered(1), numbered(2), numbered(3)}) {
		t.Errorf("upstream got %q", got)
	}
}

func TestALossWithinATransactionIsToldAndTheNextOneIsWhole(t *testing.T) {
	u := newUpstream(t)
	var dots atomic.Int32
	u.on = func(line string) string {
		if line == "." {
			if dots.Add(1) == 2 {
				return "close"
			}
		}
		return ""
	}
	g := newGuard(t, u, withReuse)
	g.oneMessage(numbered(1))
	c := g.greeted()
	c.message(numbered(2), "451 4.4.2 Perhaps not sent") // RFC 1047: it is not for us to try again
	c.message("Subject: a\r\n\r\nbare\nnewline"+strings.Repeat("x", 1<<20)+"\r\n", "550 5.6.0")
	c.message(numbered(3), "250")
	if _, got, _ := u.got(); !slices.Equal(got, []string{numbered(1), numbered(2), numbered(3)}) {
		t.Errorf("upstream got %q", got)
	}
}

func TestATransactionThatHasBegunIsNotBegunAnew(t *testing.T) {
	for _, next := range []string{"MAIL FROM:<me@home.example>", "RCPT TO:<you@there.example>", "NOOP", "DATA"} {
		u := newUpstream(t)
		r := &restartable{Listener: u.listener}
		u.listener = r
		c := newGuard(t, u, withReuse).greeted()
		c.cmd("MAIL FROM:<me@home.example>", "250")
		c.cmd("RCPT TO:<you@there.example>", "250")
		r.drop("")
		if next == "DATA" { // sent upstream when the header is known
			c.cmd(next, "354")
			c.send(plain + ".\r\n")
			c.want("451 4.4.2 Not sent")
			c.message(plain, "250")
			continue
		}
		c.cmd(next, "421 4.4.2 Not sent")
		c.ended()
		if commands, _, _ := u.got(); count(commands, "EHLO") != 1 {
			t.Errorf("%s: upstream was sent %q", next, commands)
		}
	}
}

func TestASecondConnectionThatIsNoBetter(t *testing.T) {
	u := newUpstream(t)
	u.on = func(line string) string {
		if strings.HasPrefix(line, "MAIL") {
			return "421 4.3.2 going down"
		}
		return ""
	}
	c := newGuard(t, u, withReuse).greeted()
	c.cmd("MAIL FROM:<me@home.example>", "421 4.3.2 going down")
	c.ended()
	if commands, _, _ := u.got(); count(commands, "MAIL") != 2 {
		t.Errorf("upstream was sent %q", commands)
	}
}

func TestANewConnectionThatOffersLess(t *testing.T) {
	for _, less := range []string{"SIZE 1000000", "SIZE 1000\n250-8BITMIME", "8BITMIME\n250-SIZE 999999"} {
		u := newUpstream(t)
		r := &restartable{Listener: u.listener}
		u.listener = r
		var greetings atomic.Int32
		u.on = func(line string) string {
			switch {
			case !strings.HasPrefix(line, "EHLO"):
				return ""
			case greetings.Add(1) == 1:
				return "250-hello\n250-SIZE 1000000\n250 8BITMIME"
			}
			return "250-hello\n250-" + less + "\n250 HELP"
		}
		c := newGuard(t, u, withReuse).greeted()
		r.drop("")
		c.cmd("MAIL FROM:<me@home.example> BODY=8BITMIME", "421 4.4.2 Not sent: the server offers less than before")
		c.ended()
		if commands, _, _ := u.got(); count(commands, "MAIL") != 0 {
			t.Errorf("upstream was sent %q", commands)
		}
	}
}

func TestSixteenSessionsAtOnceShareConnections(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u, withReuse)
	const sessions, rounds = 16, 10
	var wg sync.WaitGroup
	for n := range sessions {
		wg.Go(func() {
			for round := range rounds {
				c := g.greeted()
				c.message(numbered(n*rounds+round), "250 2.0.0 queued as 12345")
				c.message(leaking(11), "550 5.7.1")
				c.cmd("QUIT", "221")
				c.ended()
			}
		})
	}
	wg.Wait()
	_, got, broken := u.got()
	slices.Sort(got)
	if len(got) != sessions*rounds || len(slices.Compact(got)) != sessions*rounds || len(broken) > 0 {
		t.Errorf("upstream got %d messages, %d of them different; %d broke off", len(got), len(slices.Compact(got)), len(broken))
	}
	reused := g.counter("sendguard_upstream_connects_total", "result", "reused")
	fresh := g.counter("sendguard_upstream_connects_total", "result", "ok")
	if reused == 0 || reused+fresh != sessions*rounds {
		t.Errorf("%v reused, %v new", reused, fresh)
	}
	u.waitFor("no more to be open than are kept", func() bool { return u.open <= 4 })
}
