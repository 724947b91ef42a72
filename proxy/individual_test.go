package proxy

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sendguard/policy"
	"sendguard/proxy/unfinished"
)

func individual(s *setup) {
	s.settings.Action, s.settings.Limits[policy.External] = policy.Individual, 1
}

// A copyServer answers for an upstream and notes who got which message. It
// fails once, at one event: a command, a message that has come whole, or the
// start of one.
type copyServer struct {
	u       *upstreamServer
	failAt  int // the number of the event, from 1; 0: never
	failure string
	// takesAll is a server that says 354 where there is no recipient, and refuses
	// the message.
	takesAll bool

	mu     sync.Mutex
	events int
	name   string // of the event that failed
	rcpt   []string
	got    map[string][]string // by recipient: messages
}

func newCopyServer(t testing.TB, change ...func(*upstreamServer)) *copyServer {
	s := &copyServer{u: newUpstream(t), got: map[string][]string{}}
	s.u.on = s.on
	for _, c := range change {
		c(s.u)
	}
	return s
}

func (s *copyServer) on(line string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	verb := verbOf([]byte(line))
	if !slices.Contains([]string{"RSET", "MAIL", "RCPT", "DATA", "."}, verb) {
		return ""
	}
	s.events++
	if s.events == s.failAt {
		s.name = verb
		if verb == "." && s.failure == "close" {
			s.take() // the client does not hear of it
		}
		return s.failure
	}
	switch verb {
	case "MAIL", "RSET":
		s.rcpt = nil
	case "RCPT":
		s.rcpt = append(s.rcpt, pathOf([]byte(line)))
	case "DATA":
		if len(s.rcpt) == 0 && !s.takesAll {
			return "554 5.5.1 no valid recipients"
		}
	case ".":
		if len(s.rcpt) == 0 {
			return "554 5.5.1 no valid recipients"
		}
		s.take()
	}
	return ""
}

// take keeps the message that has come for each of its recipients.
func (s *copyServer) take() {
	_, messages, _ := s.u.got()
	for _, r := range s.rcpt {
		s.got[r] = append(s.got[r], messages[len(messages)-1])
	}
	s.rcpt = nil
}

// arm has the server fail at an event from now on.
func (s *copyServer) arm(event int, failure string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events, s.failAt, s.failure, s.name = 0, event, failure, ""
}

func (s *copyServer) failed() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.name
}

// copies returns how many copies each recipient has.
func (s *copyServer) copies() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := map[string]int{}
	for r, messages := range s.got {
		n[r] = len(messages)
	}
	return n
}

// want checks that each of the recipients has so many copies.
func (s *copyServer) want(t *testing.T, recipients []string, copies int) {
	t.Helper()
	got := s.copies()
	for _, r := range recipients {
		if got[r] != copies {
			t.Errorf("%s has %d copies, want %d", r, got[r], copies)
		}
	}
}

func people(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("p%d@there.example", i))
	}
	return list
}

// newsletter is a message to all of them, in To.
func newsletter(id string, to []string) string {
	return "Message-ID: <" + id + "@home.example>\r\nFrom: me@home.example\r\nTo: " + strings.Join(to, ",\r\n ") + "\r\nSubject: news\r\n\r\nHello all\r\n.. dotted\r\n"
}

// trySend sends a message as a client does and returns the reply to the first
// command that was refused, or to the message.
func (g *guard) trySend(message string, to []string) string {
	g.t.Helper()
	c := g.dial()
	defer c.conn.Close()
	c.want("220")
	steps := []string{"EHLO client.test", "MAIL FROM:<me@home.example>"}
	for _, r := range to {
		steps = append(steps, "RCPT TO:<"+r+">")
	}
	for _, line := range append(steps, "DATA") {
		c.send(line + "\r\n")
		if r := c.reply(); r == "" || r[0] > '3' {
			return r
		}
	}
	c.send(message + ".\r\n")
	r := c.reply()
	c.send("QUIT\r\n")
	c.reply()
	return r
}

func TestEveryRecipientGetsACopyThatShowsThemAlone(t *testing.T) {
	for _, caps := range [][]string{nil, {"SIZE 10240000", "8BITMIME", "DSN"}} { // with and without PIPELINING
		s := newCopyServer(t, func(u *upstreamServer) {
			if caps != nil {
				u.caps = caps
			}
		})
		g := newGuard(t, s.u, individual)
		c := g.greeted()
		c.cmd("MAIL FROM:<me@home.example> BODY=8BITMIME SIZE=2000 RET=HDRS ENVID=x1", "250")
		c.cmd("RCPT TO:<p0@there.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;p0@there.example", "250")
		c.cmd("RCPT TO:<p1@there.example> NOTIFY=NEVER", "250")
		c.cmd("RCPT TO:<p1@THERE.example>", "250") // once more
		c.cmd("RCPT TO:<hidden@there.example>", "250")
		c.cmd("DATA", "354")
		c.send(newsletter("1", people(2)) + ".\r\n")
		if r := c.want("250 2.0.0 Sent: "); r != "250 2.0.0 Sent: a copy of its own to each of 3 recipients" {
			t.Error(r)
		}
		c.message(plain, "250 2.0.0 queued") // the session goes on
		c.cmd("QUIT", "221")

		want := map[string][]string{"you@there.example": {plain}}
		for _, to := range append(people(2), "hidden@there.example") {
			want[to] = []string{newsletter("1", []string{to})}
		}
		if got := s.got; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %q\nwant %q", got, want)
		}
		commands, _, _ := s.u.got()
		begin := slices.Index(commands, "RCPT TO:<hidden@there.example>") + 1
		wantCommands := []string{"RSET",
			"MAIL FROM:<me@home.example> BODY=8BITMIME SIZE=2000 RET=HDRS ENVID=x1", "RCPT TO:<p0@there.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;p0@there.example", "DATA",
			"MAIL FROM:<me@home.example> BODY=8BITMIME SIZE=2000 RET=HDRS ENVID=x1", "RCPT TO:<p1@there.example> NOTIFY=NEVER", "DATA",
			"MAIL FROM:<me@home.example> BODY=8BITMIME SIZE=2000 RET=HDRS ENVID=x1", "RCPT TO:<hidden@there.example>", "DATA",
			"MAIL FROM:<me@home.example>"}
		if got := commands[begin : begin+len(wantCommands)]; !slices.Equal(got, wantCommands) {
			t.Errorf("upstream got %q", got)
		}
		if n := g.counter("sendguard_individual_copies_total", "result", "accepted"); n != 3 {
			t.Errorf("%v copies counted", n)
		}
	}
}

func TestOneRecipientNeedsNoTransactionOfItsOwn(t *testing.T) {
	s := newCopyServer(t)
	g := newGuard(t, s.u, individual)
	if r := g.trySend(newsletter("1", people(3)), people(1)); r != "250 2.0.0 queued as 12345" {
		t.Error(r)
	}
	if got := s.got["p0@there.example"]; !slices.Equal(got, []string{newsletter("1", people(1))}) {
		t.Errorf("got %q", got)
	}
	if commands, _, _ := s.u.got(); slices.Contains(commands, "RSET") {
		t.Errorf("upstream got %q", commands)
	}
}

// TestASendThatBreaksAnywhereIsFinishedByTheNextTry kills the upstream, or has
// it refuse, at every event of a send to 20 people, and then tries again as a
// client would: under the same Message-ID, or a new one. With -v it tells what
// became of each.
func TestASendThatBreaksAnywhereIsFinishedByTheNextTry(t *testing.T) {
	for _, failure := range []string{"close", "421 4.3.2 going down", "451 4.3.0 not now", "550 5.1.1 no"} {
		for _, again := range []string{"same Message-ID", "new Message-ID"} {
			t.Run(failure+", "+again, func(t *testing.T) {
				s := newCopyServer(t)
				g := newGuard(t, s.u, individual)
				// Behind the client's MAIL and RCPTs come RSET and four events a copy.
				for event := 1; event <= 1+4*len(twenty); event++ {
					s.takesAll = event%8 < 4
					s.breakAndTryAgain(g, event, failure, again == "new Message-ID")
				}
			})
		}
	}
}

var twenty = people(20)

// breakAndTryAgain sends to twenty, with the server failing at one event behind
// the client's envelope, and once more with all well.
func (s *copyServer) breakAndTryAgain(g *guard, event int, failure string, newID bool) {
	id := fmt.Sprint(event)
	s.arm(1+len(twenty)+event, failure)
	first := g.trySend(newsletter(id, twenty), twenty)
	at := s.failed()
	if newID {
		id += "-again"
	}
	s.arm(0, "")
	second := g.trySend(newsletter(id, twenty), twenty)

	unread := failure == "close" && at == "." // its reply was never read (RFC 1047)
	twice := 0
	for _, r := range twenty {
		switch n := s.copies()[r]; {
		case n == 2 && unread && twice == 0:
			twice++
		case n != 1:
			g.t.Fatalf("%s at event %d (%s): %s has %d copies; the replies were %q and %q", failure, event, at, r, n, first, second)
		}
	}
	if first[0] == '2' || second[:3] != "250" {
		g.t.Fatalf("%s at event %d (%s): the replies were %q and %q", failure, event, at, first, second)
	}
	g.t.Logf("%2d %-4s  first: %s  then: %s  twice: %d", event, at, first, second, twice)
	s.forget()
}

// forget begins to count anew.
func (s *copyServer) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.got)
}

// TestTheSameTextMayFollowAtOnce: the client has been told about the first one,
// which is being forgotten: that takes a disk its time.
func TestTheSameTextMayFollowAtOnce(t *testing.T) {
	s := newCopyServer(t)
	g := newGuard(t, s.u, individual)
	message := newsletter("1", people(2))
	header, body, _ := strings.Cut(message, "\r\n\r\n")
	j := g.policy.NewJudge(policy.Envelope{Sender: "me@home.example", Recipients: people(2)})
	j.Header([]byte(header + "\r\n\r\n"))
	j.Body([]byte(strings.ReplaceAll(body, "\r\n..", "\r\n.")))
	id := j.End().Identity
	first, err := g.sends.Begin(t.Context(), unfinished.Message{Route: "test", Sender: "me@home.example", ID: id.MessageID, Subject: id.Subject, Content: id.Content}, people(2))
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan string, 1)
	go func() { told <- g.trySend(message, people(2)) }()
	select {
	case r := <-told:
		t.Fatalf("it was told %q", r)
	case <-time.After(200 * time.Millisecond):
	}
	if err := first.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := <-told; r[:3] != "250" {
		t.Error(r)
	}
}
