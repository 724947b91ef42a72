package unfinished

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

// patience bounds every wait of a test: it fails then, it does not go on.
const patience = 10 * time.Second

// TestMain also is what a test starts to have another process.
func TestMain(m *testing.M) {
	if job := os.Getenv("UNFINISHED_CHILD"); job != "" {
		os.Exit(child(job))
	}
	goleak.VerifyTestMain(m)
}

// A clock stands still until it is moved.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.at.Store(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.at.Load()) }
func (c *clock) advance(d time.Duration) { c.at.Add(int64(d)) }

// A bench is a store on which the behaviour of all stores is tested.
type bench struct {
	t       *testing.T
	sends   *Sends
	advance func(time.Duration)
	// records counts what is stored and has not expired.
	records func() int
}

// onAllStores runs a test on each of the stores.
func onAllStores(t *testing.T, test func(t *testing.T, b *bench)) {
	t.Run("memory", func(t *testing.T) {
		c := newClock()
		m := openMemory(c.now)
		test(t, &bench{t, opening(t, m), c.advance, func() int {
			n := 0
			for _, e := range m.entries {
				if c.now().Before(e.until) {
					n++
				}
			}
			return n
		}})
	})
	t.Run("bolt", func(t *testing.T) {
		c := newClock()
		s, err := openBolt(filepath.Join(t.TempDir(), "sends"), c.now)
		if err != nil {
			t.Fatal(err)
		}
		test(t, &bench{t, opening(t, s), c.advance, func() int {
			names := map[string]bool{}
			for _, p := range piecesIn(t, s) {
				if c.now().Before(p.until) {
					names[string(p.key[:len(name{})])] = true
				}
			}
			return len(names)
		}})
	})
	t.Run("redis", func(t *testing.T) {
		server := startRedis(t)
		test(t, &bench{t, server.open(t), server.advance, func() int { return len(server.keys("sent:*")) }})
	})
}

func opening(t *testing.T, s store) *Sends {
	t.Helper()
	sends := &Sends{s}
	t.Cleanup(func() {
		if err := sends.Close(); err != nil {
			t.Error(err)
		}
	})
	return sends
}

// begin begins a send that must be free: to the recipients, or to everybody
// where none are named.
func (b *bench) begin(m Message, recipients ...string) *Send {
	b.t.Helper()
	return begin(b.t, b.sends, m, recipients...)
}

func begin(t testing.TB, sends *Sends, m Message, recipients ...string) *Send {
	t.Helper()
	if len(recipients) == 0 {
		recipients = everybody
	}
	s, err := sends.Begin(t.Context(), m, recipients)
	if err != nil {
		t.Fatalf("Begin: %v", err)
	}
	return s
}

// try is a whole try of a client: the recipients get their copies, and others are
// left for the next try.
func (b *bench) try(m Message, recipients ...string) {
	b.t.Helper()
	s := b.begin(m)
	accept(b.t, s, recipients...)
	leave(b.t, s)
}

// mayNotBegin tries a send that must not begin.
func mayNotBegin(t testing.TB, sends *Sends, want error, m Message, recipients ...string) {
	t.Helper()
	s, err := sends.Begin(t.Context(), m, recipients)
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
	if err == nil {
		leave(t, s)
	}
}

// has tells which of the recipients have a copy of m, by a try that sends none.
func (b *bench) has(m Message, recipients ...string) string {
	b.t.Helper()
	s := b.begin(m, recipients...)
	defer leave(b.t, s)
	return known(s, recipients...)
}

func known(s *Send, recipients ...string) string {
	var got []string
	for _, r := range recipients {
		if s.Has(r) {
			got = append(got, r)
		}
	}
	return strings.Join(got, " ")
}

func accept(t testing.TB, s *Send, recipients ...string) {
	t.Helper()
	for _, r := range recipients {
		if err := s.Accepted(context.Background(), r); err != nil {
			t.Fatalf("Accepted: %v", err)
		}
	}
}

func leave(t testing.TB, s *Send) {
	t.Helper()
	if err := s.Leave(context.Background()); err != nil {
		t.Fatalf("Leave: %v", err)
	}
}

func finish(t testing.TB, s *Send) {
	t.Helper()
	if err := s.Finish(context.Background()); err != nil {
		t.Fatalf("Finish: %v", err)
	}
}

// another is one of many messages.
func another(i int) Message {
	m := news
	m.ID, m.Subject = fmt.Sprintf("<%d@home.example>", i), fmt.Sprint(i)
	return m
}

// numbered returns n recipients.
func numbered(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("%d@x.example", i))
	}
	return list
}

// checkSize compares what a bounded store takes for its size with what it has.
func (b *bench) checkSize() {
	b.t.Helper()
	switch s := b.sends.store.(type) {
	case *memory:
		size := 0
		for _, e := range s.entries {
			size += e.size()
		}
		equal(b.t, "size", s.size, size)
	case *bolt:
		size := 0
		for _, e := range piecesIn(b.t, s) {
			size += e.size()
		}
		equal(b.t, "size", s.size, size)
	}
}

func equal(t testing.TB, what string, got, want any) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, fmt.Sprint(got), fmt.Sprint(want))
	}
}

// A redisServer is a real one, for one test.
type redisServer struct {
	t      testing.TB
	addr   string
	dir    string
	cmd    *exec.Cmd
	client *redis.Client // to look into it
}

// startRedis starts a server on a free port. Where there is none to start, the
// test is skipped, but not in CI.
func startRedis(t testing.TB) *redisServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	r := &redisServer{t: t, addr: l.Addr().String(), dir: t.TempDir()}
	r.start()
	r.client = redis.NewClient(&redis.Options{Addr: r.addr})
	t.Cleanup(func() {
		r.client.Close()
		r.stop()
	})
	return r
}

func (r *redisServer) start() {
	r.t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		binary, err = exec.LookPath("valkey-server")
	}
	if err != nil {
		if os.Getenv("CI") == "true" {
			r.t.Fatal("no redis-server or valkey-server in PATH: install one (apt-get install redis-server)")
		}
		r.t.Skip("NOT TESTED: no redis-server or valkey-server in PATH (apt-get install redis-server)")
	}
	_, port, _ := net.SplitHostPort(r.addr)
	r.cmd = exec.Command(binary, "--bind", "127.0.0.1", "--port", port, "--dir", r.dir, "--save", "", "--appendonly", "yes")
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	giveUp := time.AfterFunc(patience, func() { r.cmd.Process.Kill() })
	defer giveUp.Stop()
	for lines := bufio.NewScanner(out); ; {
		if !lines.Scan() {
			r.t.Fatalf("%s did not start", binary)
		}
		if strings.Contains(lines.Text(), "Ready to accept connections") {
			return // it writes little from here on, less than a pipe holds
		}
	}
}

func (r *redisServer) stop() {
	r.cmd.Process.Kill()
	r.cmd.Wait()
}

// state is the configuration's value for the server.
func (r *redisServer) state(user *url.Userinfo) string {
	return (&url.URL{Scheme: "redis", User: user, Host: r.addr, Path: "/0"}).String()
}

// open is a replica that starts.
func (r *redisServer) open(t *testing.T) *Sends {
	t.Helper()
	sends, err := Open(t.Context(), r.state(nil))
	if err != nil {
		t.Fatal(err)
	}
	return opening(t, sends.store)
}

// keys lists what the server has under the prefix of this package.
func (r *redisServer) keys(pattern string) []string {
	r.t.Helper()
	keys, err := r.client.Keys(r.t.Context(), prefix+pattern).Result()
	if err != nil {
		r.t.Fatal(err)
	}
	return keys
}

// advance makes everything that expires do so earlier: the clock of the server
// cannot be set.
func (r *redisServer) advance(d time.Duration) {
	r.t.Helper()
	for _, key := range r.keys("*") {
		left, err := r.client.PTTL(r.t.Context(), key).Result()
		if err != nil {
			r.t.Fatal(err)
		}
		if left < 0 { // does not expire
			continue
		}
		// An expiry in the past deletes.
		if err := r.client.PExpire(r.t.Context(), key, left-d).Err(); err != nil {
			r.t.Fatal(err)
		}
	}
}

// do sends the server a command of the test's own.
func (r *redisServer) do(args ...any) {
	r.t.Helper()
	if err := r.client.Do(r.t.Context(), args...).Err(); err != nil {
		r.t.Fatal(err)
	}
}
