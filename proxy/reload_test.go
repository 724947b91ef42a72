package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sendguard/policy"
	"sendguard/proxy/upstream"
)

// reload has the guard take another configuration: that of newGuard, changed.
// more are further routes.
func (g *guard) reload(u *upstreamServer, more []Route, change ...func(*setup)) error {
	g.t.Helper()
	s := defaults(u.listener.Addr().String())
	for _, c := range change {
		c(&s)
	}
	p, err := policy.New(s.settings)
	if err != nil {
		g.t.Fatal(err)
	}
	route := Route{Name: "test", Listen: s.listen, UsersFile: s.users, AuthRequired: s.users != "", Upstream: s.upstream}
	s.route(&route)
	return g.Reload(append([]Route{route}, more...), s.limits, p)
}

func (g *guard) mustReload(u *upstreamServer, more []Route, change ...func(*setup)) {
	g.t.Helper()
	if err := g.reload(u, more, change...); err != nil {
		g.t.Fatal(err)
	}
}

func external(n int) func(*setup) {
	return func(s *setup) { s.settings.Limits[policy.External] = policy.Limit(n) }
}

// dialAt is a client at another route than the first.
func (g *guard) dialAt(addr net.Addr) *client {
	g.t.Helper()
	conn, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(2 * patience))
	return &client{g.t, conn, bufio.NewReader(conn), g.refs}
}

func TestAPolicyHoldsFromTheNextMailOn(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u)
	idle, mailed, inData := g.greeted(), g.greeted(), g.greeted()
	mailed.cmd("MAIL FROM:<me@home.example>", "250")
	inData.envelope()
	g.mustReload(u, nil, external(2), func(s *setup) { s.settings.BareNewline = policy.NormalizeBare })
	idle.message(leaking(5), "550 5.7.1 Not sent: every recipient would see 5 addresses (limit 2)")
	idle.message(strings.Replace(plain, "How", "How\n", 1), "250")
	mailed.cmd("RCPT TO:<you@there.example>", "250")
	mailed.cmd("DATA", "354")
	mailed.send(strings.Replace(leaking(5), "Hello", "Hello\n", 1) + ".\r\n")
	mailed.want("550 5.6.0") // a bare line feed was refused at its MAIL
	mailed.message(leaking(5), "550 5.7.1")
	inData.send(leaking(5) + ".\r\n")
	inData.want("250 2.0.0 queued")
	inData.message(leaking(5), "550 5.7.1")
}

func TestAMailThatIsRefusedLeavesTheTransactionItsPolicy(t *testing.T) {
	u := newUpstream(t)
	u.on = func(line string) string {
		return map[string]string{"MAIL FROM:<again@home.example>": "503 5.5.1 nested MAIL"}[line]
	}
	g := newGuard(t, u)
	c := g.greeted()
	c.cmd("MAIL FROM:<me@home.example>", "250")
	g.mustReload(u, nil, external(2))
	c.cmd("MAIL FROM:<again@home.example>", "503")
	c.cmd("RCPT TO:<you@there.example>", "250")
	c.cmd("DATA", "354")
	c.send(leaking(5) + ".\r\n")
	c.want("250 2.0.0 queued")
}

func TestLimitsAndUpstreamsHoldFromTheNextConnectionOn(t *testing.T) {
	u, other := newUpstream(t), newUpstream(t)
	other.once.Do(other.start)
	g := newGuard(t, u)
	before := g.greeted()
	g.mustReload(other, nil, func(s *setup) { s.limits.Recipients = 1; s.limits.MessageBytes = 500 })
	after := g.greeted()
	for c, second := range map[*client]string{before: "250", after: "452 4.5.3"} {
		c.cmd("MAIL FROM:<me@home.example>", "250")
		c.cmd("RCPT TO:<you@there.example>", "250")
		c.cmd("RCPT TO:<her@there.example>", second)
		c.cmd("RSET", "250")
	}
	long := plain + strings.Repeat("more of it\r\n", 100)
	before.message(long, "250")
	after.message(long, "552 5.3.4")
	before.message(plain, "250")
	after.message(plain, "250")
	if _, got, _ := u.got(); len(got) != 2 {
		t.Errorf("the upstream of before got %q", got)
	}
	if _, got, _ := other.got(); !slices.Equal(got, []string{plain}) {
		t.Errorf("the upstream of after got %q", got)
	}
}

func TestWhereClientsMayComeFromIsAskedAnew(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u)
	before := g.greeted()
	g.mustReload(u, nil, func(s *setup) { s.route = allow("10.0.0.0/8") })
	g.dial().want("554 5.7.1")
	before.message(plain, "250")
	g.mustReload(u, nil, func(s *setup) { s.limits.Connections = 1 })
	g.dial().want("421 4.7.0")
}

func TestTLSAndUsersAreThoseOfTheNextConnection(t *testing.T) {
	u, p := newUpstream(t), newPair(t, upstream.TLSImplicit)
	g := newGuard(t, u, withUsers(usersFile(t, "alice:"+hashOf("sesame"))))
	before := g.greeted()
	g.mustReload(u, nil, p.on, withUsers(usersFile(t, "bob:"+hashOf("sesame"))))
	conn := tls.Client(g.dial().conn, p.config())
	after := &client{t, conn, bufio.NewReader(conn), nil}
	after.want("220")
	after.cmd("EHLO client.test", "250")
	for c, name := range map[*client]string{before: "alice", after: "bob"} {
		c.cmd("AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+name+"\x00sesame")), "235")
		c.message(plain, "250")
	}
}

func TestTheBudgetGrowsAndShrinks(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u)
	c := g.greeted()
	g.mustReload(u, nil, func(s *setup) { s.limits.BufferBytes = 1000 })
	c.cmd("MAIL FROM:<me@home.example>", "250")
	c.cmd("RCPT TO:<you@there.example>", "250")
	c.cmd("DATA", "452 4.3.1")
	g.mustReload(u, nil)
	c.message(plain, "250")
}

func TestConnectionsThatArePooledAreClosed(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u, withReuse)
	g.oneMessage(plain)
	late := g.greeted() // has the one that was kept
	g.mustReload(u, nil, withReuse)
	u.mu.Lock()
	if n := count(u.commands, "EHLO"); n != 1 {
		t.Errorf("%d connections were opened", n)
	}
	if n := count(u.commands, "QUIT"); n != 0 {
		t.Errorf("%d connections in use were left", n)
	}
	u.mu.Unlock()
	late.message(plain, "250")
	late.cmd("QUIT", "221")
	u.waitFor("the connection of a session of before to be left", func() bool { return count(u.commands, "QUIT") == 1 })
	g.oneMessage(plain)
	g.mustReload(u, nil, withReuse)
	u.waitFor("the idle connection to be left", func() bool { return count(u.commands, "QUIT") == 2 })
}

func TestARouteIsAddedAndDropped(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u)
	path := filepath.Join(t.TempDir(), "s")
	more := []Route{{Name: "more", Listen: UnixPrefix + path, SocketMode: 0o600, Upstream: upstream.Server{Address: u.listener.Addr().String(), TLS: upstream.TLSNone, Relay: true}}}
	first := g.Addr(0)
	g.mustReload(u, more, func(s *setup) {
		s.settings.Rules = []policy.Rule{{Name: "late", Match: policy.Match{Reply: new(bool)}, Action: policy.Report}}
	})
	if g.Addr(0) != first {
		t.Error("the first route has another socket")
	}
	for _, want := range []string{"sendguard_sessions_total route=more", "sendguard_concealed_addresses_total route=more,rule=late", "sendguard_concealed_addresses_total route=test,rule=late"} {
		if !slices.Contains(g.series(), want) {
			t.Errorf("%s is not there before its first increment", want)
		}
	}
	c := g.dialAt(g.Addr(1))
	c.want("220")
	c.cmd("EHLO client.test", "250")
	c.envelope()
	c.send("Subject: x\r\n")
	more[0].SocketMode = 0o640
	g.mustReload(u, more)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the socket is %v, %v", info, err)
	}
	g.mustReload(u, nil)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	c.send("\r\nHello\r\n.\r\n")
	c.want("250 2.0.0 queued")
	c.message(plain, "250 2.0.0 queued")
	c.cmd("QUIT", "221")
	c.ended()
	g.mustReload(u, more)
	g.dialAt(g.Addr(1)).want("220")
}

func TestAReloadThatCannotListenChangesNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	u := newUpstream(t)
	g := newGuard(t, u)
	free := filepath.Join(t.TempDir(), "s")
	upstream := upstream.Server{Address: u.listener.Addr().String(), TLS: upstream.TLSNone, Relay: true}
	before := g.inForce.Load()
	for _, more := range [][]Route{
		{{Name: "free", Listen: UnixPrefix + free, SocketMode: 0o600, Upstream: upstream}, {Name: "taken", Listen: taken.Addr().String(), Upstream: upstream}},
		{{Name: "free", Listen: UnixPrefix + free, SocketMode: 0o600, Upstream: upstream}, {Name: "tls", Listen: "127.0.0.1:0", TLS: &ClientTLS{CertFile: "/none", KeyFile: "/none"}, Upstream: upstream}},
	} {
		if g.reload(u, more, external(2)) == nil {
			t.Errorf("%s was opened", more[1].Listen)
		}
		if _, err := os.Stat(free); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a socket is left: %v", err)
		}
	}
	if g.inForce.Load() != before {
		t.Error("another configuration is in force")
	}
	g.greeted().message(leaking(5), "250")
}

func TestReloadsWhileStoppingDoNothing(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u)
	busy := g.greeted()
	busy.envelope()
	busy.send(leaking(5))
	u.waitFor("the message to be under way", func() bool { return slices.Contains(u.commands, "DATA") })
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var err error
			for end := time.Now().Add(patience); err == nil && time.Now().Before(end); {
				err = g.reload(u, nil, external(2))
			}
			if !errors.Is(err, ErrStopping) {
				t.Errorf("the last reload of a stop got %v", err)
			}
		})
	}
	stopped := make(chan error)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		stopped <- g.Shutdown(ctx)
	}()
	wg.Wait() // each was told that the server stops
	busy.send(".\r\n")
	busy.want("250 2.0.0 queued")
	busy.want("421 4.3.2")
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if _, err := g.tryDial(); err == nil {
		t.Error("it still listens")
	}
}

func TestAStormOfReloadsLosesNothing(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u, withReuse)
	const clients, messages = 8, 40
	var senders, reloaders sync.WaitGroup
	done := make(chan struct{})
	for i := range 3 {
		reloaders.Go(func() {
			for n := i; ; n++ {
				select {
				case <-done:
					return
				default:
					g.mustReload(u, nil, withReuse, external(10+n%5))
				}
			}
		})
	}
	for n := range clients {
		senders.Go(func() {
			for i := range messages {
				c := g.greeted() // fails where a connection is refused
				c.message(numbered(n*messages+i), "250 2.0.0 queued as 12345")
				c.cmd("QUIT", "221")
				c.ended()
			}
		})
	}
	senders.Wait()
	close(done)
	reloaders.Wait()
	_, got, broken := u.got()
	slices.Sort(got)
	if len(got) != clients*messages || len(slices.Compact(got)) != clients*messages || len(broken) > 0 {
		t.Errorf("upstream got %d messages, %d broke off", len(got), len(broken))
	}
}
