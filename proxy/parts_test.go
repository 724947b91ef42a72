package proxy

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// A partServer answers for an upstream to which the parts of one send come at the
// same time, and has a copyServer for each connection.
type partServer struct {
	u *upstreamServer
	// begins is called when a connection names its first recipient, by which the
	// part is known.
	begins func(first string, c *copyServer)
	// copied is called when the nth message of a connection has come.
	copied func(first string, n int)

	mu    sync.Mutex
	conns []*copyServer
}

func newPartServer(t testing.TB) *partServer {
	s := &partServer{u: newUpstream(t)}
	s.well()
	s.u.onEach = s.connection
	return s
}

// well has the server take everything from now on.
func (s *partServer) well() {
	s.begins, s.copied = func(string, *copyServer) {}, func(string, int) {}
}

func (s *partServer) connection() func(line string) string {
	c := &copyServer{u: s.u, got: map[string][]string{}}
	s.mu.Lock()
	s.conns = append(s.conns, c)
	s.mu.Unlock()
	first, n := "", 0
	return func(line string) string {
		if first == "" && isVerb([]byte(line), "RCPT") {
			first = pathOf([]byte(line))
			s.begins(first, c)
		}
		if line == "." {
			n++
			s.copied(first, n)
		}
		return c.on(line)
	}
}

// copies adds up what the connections took.
func (s *partServer) copies() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := map[string]int{}
	for _, c := range s.conns {
		for r, n := range c.copies() {
			sum[r] += n
		}
	}
	return sum
}

// everyoneHas checks how many copies each recipient has, by the envelopes and
// by what the copies show.
func (s *partServer) everyoneHas(want int, to []string) {
	s.u.t.Helper()
	_, messages, _ := s.u.got()
	shown := map[string]int{}
	for _, m := range messages {
		_, rest, _ := strings.Cut(m, "\r\nTo: ")
		line, _, _ := strings.Cut(rest, "\r\nSubject")
		shown[line]++
	}
	copies := s.copies()
	for _, r := range to {
		if copies[r] != want || shown[r] != want {
			s.u.t.Errorf("%s has %d copies, and %d show that address alone", r, copies[r], shown[r])
		}
	}
	if len(messages) != want*len(to) {
		s.u.t.Errorf("%d messages for %d recipients", len(messages), len(to))
	}
}

// sendParts sends a message in parts at the same time, and returns the replies.
func (g *guard) sendParts(message string, parts [][]string) (replies []chan string) {
	for _, part := range parts {
		reply := make(chan string, 1)
		replies = append(replies, reply)
		go func() { reply <- g.trySend(message, part) }()
	}
	return replies
}

// A mail server as the client has a message for 120, and splits it. Of the parts
// that run at the same time one loses its upstream, one has a recipient who is
// refused for now, and one ends well behind these: each is tried again until it
// is taken, and nobody gets two.
func TestPartsOfASendRunAtOnceAndNobodyGetsTwoCopies(t *testing.T) {
	all := people(120)
	parts := [][]string{all[:50], all[50:100], all[100:]}
	for i, event := range []string{"MAIL", "RCPT", "DATA"} {
		for _, nth := range []int{2, 25, 50} {
			t.Run(fmt.Sprintf("closed at %s of copy %d", event, nth), func(t *testing.T) {
				s := newPartServer(t)
				g := newGuard(t, s.u, individual)
				s.begins = func(first string, c *copyServer) {
					switch first { // behind the part's RCPTs come RSET and four events a copy
					case parts[1][0]:
						c.arm(50+1+4*(nth-1)+1+i, "close")
					case parts[2][0]:
						c.arm(20+1+4*9+2, "451 4.2.1 not now")
					}
				}
				var running sync.WaitGroup // parts whose first copy has come
				running.Add(len(parts))
				othersFailed := make(chan struct{})
				s.copied = func(first string, n int) {
					if n == 1 {
						running.Done()
						bounded(t, "all parts run", running.Wait)
					}
					if n == 50 && first == parts[0][0] {
						bounded(t, "the others have failed", func() { <-othersFailed })
					}
				}
				replies := g.sendParts(newsletter("1", all), parts)
				for k, want := range []string{fmt.Sprintf("451 4.3.0 Sent to %d of 50;", nth-1), "451 4.3.0 Sent to 19 of 20;"} {
					if r := <-replies[k+1]; !strings.HasPrefix(r, want) {
						t.Errorf("part %d: %s", k+2, r)
					}
				}
				close(othersFailed)
				if r := <-replies[0]; r != "250 2.0.0 Sent: a copy of its own to each of 50 recipients" {
					t.Errorf("part 1: %s", r)
				}

				s.well()
				for k, reply := range g.sendParts(newsletter("1", all), parts[1:]) {
					if r := <-reply; r[:3] != "250" {
						t.Errorf("part %d, again: %s", k+2, r)
					}
				}
				s.everyoneHas(1, all)
				if n := g.counter("sendguard_individual_copies_total", "result", "remembered"); n != float64(nth-1+19) {
					t.Errorf("%v copies were remembered", n)
				}
				// The send is finished: the same once more is another one.
				if r := g.trySend(newsletter("1", all), all); r[:3] != "250" {
					t.Error(r)
				}
				s.everyoneHas(2, all)
			})
		}
	}
}

// bounded waits for what another goroutine of the test brings about.
func bounded(t *testing.T, what string, wait func()) {
	done := make(chan struct{})
	go func() { wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
		t.Errorf("waited in vain: %s", what)
	}
}
