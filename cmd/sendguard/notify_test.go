//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"sendguard/cmd/sendguard/config"
	"sendguard/cmd/sendguard/maildrop"
)

// A systemd receives what services notify.
type systemd struct {
	t    *testing.T
	conn *net.UnixConn
}

func newSystemd(t *testing.T) (s *systemd, env string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &systemd{t, conn}, "NOTIFY_SOCKET=" + path
}

// next is the next message that is not of the watchdog's ticks, unless that is
// what is wanted.
func (s *systemd) next(pattern string) []string {
	s.t.Helper()
	s.conn.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 4096)
	for {
		n, err := s.conn.Read(b)
		if err != nil {
			s.t.Fatalf("no %s: %v", pattern, err)
		}
		got := string(b[:n])
		if strings.ContainsAny(got, "@") || strings.Contains(got, ".example") {
			s.t.Errorf("systemd was told %q", got)
		}
		if m := regexp.MustCompile("^(?:" + pattern + ")$").FindStringSubmatch(got); m != nil {
			return m
		}
		if !strings.HasPrefix(got, "STATUS=") {
			s.t.Fatalf("systemd was told %q, want %s", got, pattern)
		}
	}
}

func TestSystemdIsToldWhatHappens(t *testing.T) {
	s, env := newSystemd(t)
	p := startProcess(t, "", env, "WATCHDOG_USEC=400000", "WATCHDOG_PID=")
	s.next("READY=1\nSTATUS=1 route, 0 sessions")
	s.next("STATUS=1 route, 0 sessions\nWATCHDOG=1")
	c := p.talk()
	s.next("STATUS=1 route, 1 session\nWATCHDOG=1")
	clock := func() (usec int64) {
		fmt.Sscanf(daemon.SdNotifyMonotonicUsec(), "MONOTONIC_USEC=%d", &usec)
		return usec
	}
	from := clock()
	p.write(p.route("more", "127.0.0.1:0"))
	p.signal(syscall.SIGHUP)
	var at int64
	fmt.Sscan(s.next(`RELOADING=1\nMONOTONIC_USEC=(\d+)`)[1], &at)
	if to := clock(); at < from || at > to {
		t.Errorf("the reload was at %d, not from %d to %d", at, from, to)
	}
	s.next("READY=1\nSTATUS=2 routes, 1 session")
	p.write("oops: 1\n")
	p.signal(syscall.SIGHUP)
	s.next(`RELOADING=1\nMONOTONIC_USEC=(\d+)`)
	s.next(`READY=1\nSTATUS=2 routes, 1 session; the changed configuration cannot be loaded \(see the log\), the one before it stays`)
	c.begin("354")
	p.signal(syscall.SIGTERM)
	s.next("STOPPING=1\nSTATUS=stopping; 2 routes, 1 session; .*")
	c.say(showsThree, "250")
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	s.conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if n, err := s.conn.Read(make([]byte, 100)); err == nil {
		t.Errorf("%d bytes came after STOPPING", n)
	}
}

func TestAServiceThatDoesNotAnswerIsNotAlive(t *testing.T) {
	s, env := newSystemd(t)
	name, path, _ := strings.Cut(env, "=")
	t.Setenv(name, path)
	t.Setenv("WATCHDOG_USEC", "400000")
	drop, err := maildrop.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer drop.Close()
	c, err := config.Load(writeConfig(t, fmt.Sprintf("routes:\n  - {listen: 127.0.0.1:0, upstream: {address: \"%s\", tls: none}}\nmetrics: {listen: 127.0.0.1:0}\n", drop.Addr())))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	log, service, ended := &lines{changed: make(chan struct{}, 1)}, &service{}, make(chan error)
	go func() { ended <- service.serve(ctx, stop, c, nil, log) }()
	s.next("READY=1\nSTATUS=.*")
	s.next("STATUS=.*\nWATCHDOG=1")
	service.status.Close() // as if its handler hung
	log.find(t, `level=ERROR msg="the watchdog is not told that all is well" error=.*connection refused`)
	s.conn.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 4096)
	for silent := 0; silent < 3; { // one may be on its way
		n, err := s.conn.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		if silent++; strings.Contains(string(b[:n]), "WATCHDOG=1") {
			silent = 0
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestASystemdThatDoesNotReadHoldsNothingUp(t *testing.T) {
	_, env := newSystemd(t)
	t.Setenv("NOTIFY_SOCKET", strings.TrimPrefix(env, "NOTIFY_SOCKET="))
	for range 10_000 { // until its queue is full
		if err := notify("STATUS=full"); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error(err)
			}
			return
		}
	}
	t.Error("its queue has no end")
}
