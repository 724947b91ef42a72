package proxy

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A medium is where a state is kept, and can be filled.
type medium struct {
	state       string
	fill, empty func()
}

// A redisServer is a real one, for one test.
type redisServer struct {
	t      *testing.T
	addr   string
	dir    string
	cmd    *exec.Cmd
	client *redis.Client
}

// newRedis starts a server on a free port. Where there is none to start, the
// test is skipped, but not in CI.
func newRedis(t *testing.T) *redisServer {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("no redis-server in PATH: install one (apt-get install redis-server)")
		}
		t.Skip("NOT TESTED: no redis-server in PATH (apt-get install redis-server)")
	}
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
	_, port, _ := net.SplitHostPort(r.addr)
	r.cmd = exec.Command("redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", r.dir, "--save", "", "--appendonly", "yes", "--maxmemory-policy", "noeviction")
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
			r.t.Fatal("redis-server did not start")
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

// fill writes until the server takes no more. Then its bound is set a little
// lower, so that a client that closes does not make room.
func (r *redisServer) fill() {
	ctx := context.Background()
	r.client.ConfigSet(ctx, "maxmemory", fmt.Sprint(r.used()+1<<20))
	for i := 0; ; i++ {
		err := r.client.Set(ctx, fmt.Sprint("filler:", i), make([]byte, 10000), 0).Err()
		if redis.IsOOMError(err) {
			break
		}
		if err != nil {
			r.t.Error(err)
			return
		}
	}
	r.client.ConfigSet(ctx, "maxmemory", fmt.Sprint(r.used()-1<<18))
}

func (r *redisServer) used() (bytes int64) {
	info := r.client.Info(context.Background(), "memory").Val()
	_, rest, _ := strings.Cut(info, "used_memory:")
	fmt.Sscan(rest, &bytes)
	return bytes
}

func (r *redisServer) empty() {
	ctx := context.Background()
	for _, key := range r.client.Keys(ctx, "filler:*").Val() {
		r.client.Del(ctx, key)
	}
	r.client.ConfigSet(ctx, "maxmemory", "0")
}

// onFull runs a test on each state that can be full.
func onFull(t *testing.T, test func(t *testing.T, m medium)) {
	t.Run("redis", func(t *testing.T) {
		r := newRedis(t)
		test(t, medium{"redis://" + r.addr + "/0", r.fill, r.empty})
	})
	t.Run("bolt", func(t *testing.T) { test(t, smallDisk(t)) })
}

// TestAStateThatFillsUpAnywhereSendsNobodyTwice fills the disk or the server before
// the first copy and when each copy was accepted, and has the upstream fail there,
// too, or go on. The client tries again while there is no room, and when there is
// some. With -v it tells what became of each.
func TestAStateThatFillsUpAnywhereSendsNobodyTwice(t *testing.T) {
	onFull(t, func(t *testing.T, m medium) {
		s := newCopyServer(t)
		usual := s.u.on
		var fillAt atomic.Int32
		s.u.on = func(line string) string {
			said := usual(line)
			if line == "." {
				if fillAt.Add(-1) == 0 {
					m.fill()
				}
			}
			return said
		}
		g := newGuard(t, s.u, individual, func(s *setup) { s.state = m.state })
		for _, failure := range []string{"", "close", "421 4.3.2 going down", "451 4.3.0 not now"} {
			for copies := 0; copies <= len(twenty); copies++ {
				fillAt.Store(int32(copies))
				event := 1 + 4*copies // the final dot of the last copy
				if failure != "close" {
					event++ // the MAIL of the next
				}
				s.arm(1+len(twenty)+event, failure)
				if failure == "" {
					s.arm(0, "")
				}
				if copies == 0 {
					m.fill()
				}
				s.fillAndTryAgain(g, m, copies, failure)
			}
		}
	})
}

// fillAndTryAgain sends to twenty as a client does, until it is told that it is sent:
// while the state is filled, while it is full, and when it has room again.
func (s *copyServer) fillAndTryAgain(g *guard, m medium, copies int, failure string) {
	message := newsletter(fmt.Sprint(failure, copies), twenty)
	var replies []string
	unread := false
	for try := range 3 {
		if try == 2 {
			m.empty()
		}
		r := g.trySend(message, twenty)
		replies = append(replies, r)
		unread = unread || failure == "close" && s.failed() == "." // its reply was never read (RFC 1047)
		s.arm(0, "")
		if copies == 0 && failure == "" && try < 2 { // the first send: later ones may find the room of one before
			if r != strings.TrimSuffix(replyState, "\r\n") {
				g.t.Errorf("there is no room, and the reply is %q", r)
			}
			s.want(g.t.(*testing.T), twenty, 0)
		}
		if r[0] == '2' {
			break
		}
		if r[0] != '4' {
			g.t.Errorf("the reply is %q", r)
		}
	}
	if len(replies) < 3 {
		m.empty()
	}
	twice := 0
	for _, r := range twenty {
		switch n := s.copies()[r]; {
		case n == 2 && unread && twice == 0:
			twice++
		case n != 1:
			g.t.Errorf("%s has %d copies", r, n)
		}
	}
	if last := replies[len(replies)-1]; last[:3] != "250" || g.t.Failed() {
		g.t.Fatalf("full after %d copies, %q: the replies were %q", copies, failure, replies)
	}
	g.t.Logf("full after %2d copies, upstream %-22q twice: %d, told: %q", copies, failure, twice, replies)
	s.forget()
}

// TestWhereANoteFailsNoOtherCopyIsSent: the server of the state is gone when a copy
// was accepted, which no order of writing can foresee.
func TestWhereANoteFailsNoOtherCopyIsSent(t *testing.T) {
	r := newRedis(t)
	s := newCopyServer(t)
	usual := s.u.on
	var stopAt atomic.Int32
	stopped := make(chan struct{}, 1)
	s.u.on = func(line string) string {
		if line == "." {
			if stopAt.Add(-1) == 0 {
				r.stop()
				stopped <- struct{}{}
			}
		}
		return usual(line)
	}
	g := newGuard(t, s.u, individual, func(s *setup) { s.state = "redis://" + r.addr + "/0" })
	for _, at := range []int{1, 10, 19, 20} {
		stopAt.Store(int32(at))
		message := newsletter(fmt.Sprint(at), twenty)
		want := fmt.Sprintf("451 4.3.0 Sent to %d of 20; send it again, and only those without a copy get one. The reason: cannot note who has a copy", at)
		if reply := g.trySend(message, twenty); reply != want {
			t.Error(reply)
		}
		s.want(t, twenty[:at], 1)
		s.want(t, twenty[at:], 0)
		<-stopped
		r.start()
		for _, key := range r.client.Keys(t.Context(), "*:lease:*").Val() { // as after 30 s
			r.client.Del(t.Context(), key)
		}
		// The client of the server looks for it once in a second.
		reply, end := "", time.Now().Add(patience)
		for reply = g.trySend(message, twenty); reply == strings.TrimSuffix(replyState, "\r\n") && time.Now().Before(end); {
			s.want(t, twenty[at:], 0)
			reply = g.trySend(message, twenty)
		}
		if reply[:3] != "250" {
			t.Error(reply)
		}
		if n := s.copies()[twenty[at-1]]; n > 2 {
			t.Errorf("the one that was not noted has %d copies", n)
		}
		s.want(t, twenty[:at-1], 1)
		s.want(t, twenty[at:], 1)
		s.forget()
	}
}
