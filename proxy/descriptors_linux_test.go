package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"sendguard/policy"
	"sendguard/proxy/upstream"
)

// exhaust leaves this process no file descriptor. free gives some back; the end of
// the test does with all.
func exhaust(t *testing.T) (free func(n int)) {
	t.Helper()
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	last, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	taken := []*os.File{last}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(last.Fd()) + 64, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	free = func(n int) {
		for _, f := range taken[:n] {
			f.Close()
		}
		taken = taken[n:]
	}
	t.Cleanup(func() {
		free(len(taken))
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
			t.Error(err)
		}
	})
	for {
		f, err := os.Open(os.DevNull)
		if upstream.OutOfDescriptors(err) {
			return free
		}
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, f)
	}
}

const noDescriptor = "421 4.3.2 Not sent: sendguard has no file descriptor left"

// ours checks that n times a want of descriptors was told of, and nothing else.
func (g *guard) ours(n float64) {
	g.t.Helper()
	if all, these := g.counter("sendguard_session_faults_total"), g.faults(faultDescriptors); all != n || these != n {
		g.t.Errorf("%v faults, %v of them for descriptors, want %v:\n%s", all, these, n, g.log.String())
	}
	if failed := g.counter("sendguard_upstream_connects_total", "result", "failed"); failed != 0 {
		g.t.Errorf("%v connects upstream failed", failed)
	}
}

// waitForKept waits until the descriptor that was lent is held again.
func (g *guard) waitForKept() {
	g.t.Helper()
	for end := time.Now().Add(patience); ; runtime.Gosched() {
		g.Server.kept.mu.Lock()
		held := g.Server.kept.file != nil
		g.Server.kept.mu.Unlock()
		if held {
			return
		}
		if time.Now().After(end) {
			g.t.Fatal("no descriptor is kept any more")
		}
	}
}

func TestAConnectWithoutADescriptorIsNotBlamedOnTheUpstream(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "localhost"} { // a name has to be looked up
		t.Run(host, func(t *testing.T) {
			u := newUpstream(t)
			_, port, _ := net.SplitHostPort(u.listener.Addr().String())
			g := newGuard(t, u, func(s *setup) { s.upstream.Address = net.JoinHostPort(host, port) })
			c := g.dial()
			c.want("220")
			free := exhaust(t)
			c.cmd("EHLO client.test", noDescriptor)
			c.cmd("HELO client.test", noDescriptor) // as many clients try next
			c.ended()
			g.ours(1)
			free(20)
			g.greeted().message(plain, "250")
		})
	}
}

func TestAClientThatNoDescriptorIsLeftForHearsSo(t *testing.T) {
	g := newGuard(t, newUpstream(t))
	g.greeted() // whoever accepts waits for more
	free := exhaust(t)
	for range 3 {
		g.waitForKept()
		free(1)
		c := g.dial() // it takes the one
		c.want(noDescriptor)
		c.ended()
	}
	g.ours(3)
	if err := g.CheckAlive(t.Context()); err != nil {
		t.Error(err)
	}
	free(20)
	g.greeted().message(plain, "250")
}

func TestAMessageThatNoDescriptorIsLeftToHoldIsOurFault(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u, func(s *setup) { s.settings.Action, s.settings.Limits[policy.External] = policy.Individual, 1 })
	to := people(2)
	c := g.greeted()
	c.cmd("MAIL FROM:<me@home.example>", "250")
	for _, p := range to {
		c.cmd("RCPT TO:<"+p+">", "250")
	}
	c.cmd("DATA", "354")
	exhaust(t)
	c.send(newsletter("1", to) + strings.Repeat("and so on\r\n", spoolMemory/5) + ".\r\n")
	c.want(noDescriptor)
	c.ended()
	g.ours(1)
	if n := g.counter("sendguard_message_outcomes_total", "outcome", string(outcomeClientFailed)); n != 0 {
		t.Errorf("%v times the client's fault", n)
	}
}

func TestALoginThatNoDescriptorIsLeftToCheckIsNoWrongPassword(t *testing.T) {
	path := usersFile(t, "alice:"+hashOf("sesame"))
	g := newGuard(t, newUpstream(t), withUsers(path))
	c := g.greeted()
	writeUsers(t, path, "alice:"+hashOf("sesame"), "bob:"+hashOf("sesame"))
	free := exhaust(t)
	c.cmd("AUTH PLAIN "+b64("\x00bob\x00sesame"), noDescriptor)
	c.ended()
	g.ours(1)
	free(20)
	g.greeted().cmd("AUTH PLAIN "+b64("\x00bob\x00sesame"), "235")
}

func TestACertificateIsReadAgainOnceThereAreDescriptors(t *testing.T) {
	p := newPair(t, upstream.TLSStartTLS)
	g := newGuard(t, newUpstream(t), p.on)
	was := p.config()
	c := g.dial()
	c.want("220")
	c.cmd("EHLO client.test", "250")
	p.renew(t)
	free := exhaust(t)
	c.startTLS(was)
	g.ours(1)
	free(20)
	c = g.dial()
	c.want("220")
	c.startTLS(p.config())
}

func TestAPasswordThatNoDescriptorIsLeftToReadIsNoRefusedLogin(t *testing.T) {
	u := newUpstream(t)
	u.caps = []string{"AUTH PLAIN"}
	u.on = func(line string) string {
		if strings.HasPrefix(line, "AUTH") {
			return "535 5.7.8 no"
		}
		return ""
	}
	g := newGuard(t, u, withLogin("old", func(context.Context) (string, error) {
		exhaust(t)
		text, err := os.ReadFile(os.DevNull)
		return string(text), err
	}))
	c := g.dial()
	c.want("220")
	c.cmd("EHLO client.test", noDescriptor)
	g.ours(1)
}

func TestTheStatusAnswersWithoutADescriptorLeft(t *testing.T) {
	g := newGuard(t, newUpstream(t))
	s, err := NewStatus("127.0.0.1:0", "this one", g.metrics, g.Ready)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	free := exhaust(t)
	for range 3 {
		free(1) // for the one who asks
		if err := CheckReady(t.Context(), s.Addr().String(), "this one"); err != nil {
			t.Fatal(err)
		}
	}
	exhaust(t)
	if err := s.CheckAlive(t.Context()); err != nil {
		t.Errorf("the watchdog would end us for asking: %v", err)
	}
}

func TestAsManyAreLetInAsThereAreDescriptorsFor(t *testing.T) {
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was)
	const fit = 20
	limit := otherDescriptors + 1 + fit*sessionDescriptors
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(limit), Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	g := newGuard(t, newUpstream(t), func(s *setup) { s.limits.Connections = 1000 })
	want := fmt.Sprintf("connections=1000 fit=%d limit=%d needed=%d", fit, limit, otherDescriptors+1+1000*sessionDescriptors)
	if !strings.Contains(g.log.String(), want) {
		t.Errorf("the log lacks %s:\n%s", want, g.log.String())
	}
	syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was) // this process has the clients, too
	for range fit {
		g.greeted()
	}
	g.dial().want("421 4.7.0 Too many connections")
	if g.faults(faultTooManyConns) != 1 {
		t.Errorf("%v faults", g.faults(faultTooManyConns))
	}
}

func TestTooFewDescriptorsForAnybodyAreNoStart(t *testing.T) {
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was)
	u := newUpstream(t)
	s := defaults(u.listener.Addr().String())
	p, err := policy.New(s.settings)
	if err != nil {
		t.Fatal(err)
	}
	srv := NewServer([]Route{{Name: "test", Listen: s.listen, Upstream: s.upstream}}, s.limits, p, nil, NewMetrics(nil, nil, Build{}), slog.New(slog.DiscardHandler))
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: otherDescriptors, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	if err := srv.Start(); err == nil || !strings.Contains(err.Error(), "32 file descriptors are too few to serve anybody") {
		t.Errorf("%v", err)
	}
}

func TestAFullSpoolIsNoFailureOfTheClientAndTheLogSaysWhy(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u, func(s *setup) {
		s.settings.Action, s.settings.Limits[policy.External], s.limits.SpoolDir = policy.Individual, 1, t.TempDir()
	})
	signal.Ignore(syscall.SIGXFSZ) // the write fails then, as on a full disk
	defer signal.Reset(syscall.SIGXFSZ)
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 2 * spoolMemory, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was)
	r := g.trySend(newsletter("1", people(2))+strings.Repeat("and so on\r\n", spoolMemory/3), people(2))
	if r != strings.TrimSuffix(replySpool, "\r\n") {
		t.Error(r)
	}
	if failed := g.counter("sendguard_message_outcomes_total", "outcome", string(outcomeClientFailed)); failed != 0 || g.faults(faultSpool) != 1 {
		t.Errorf("%v outcomes client_failed, %v faults", failed, g.faults(faultSpool))
	}
	if !strings.Contains(g.log.String(), `fault=spool detail="file too large"`) || strings.Contains(g.log.String(), g.limits.SpoolDir) {
		t.Errorf("the log has\n%s", g.log.String())
	}
}
