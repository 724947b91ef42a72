package proxy

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sendguard/policy"
)

// refusing has a server refuse some recipients from now on.
func (s *copyServer) refusing(reply string, paths ...string) {
	usual := s.on
	s.u.on = func(line string) string {
		if s.refuses() && isVerb([]byte(line), "RCPT") && slices.Contains(paths, pathOf([]byte(line))) {
			return reply
		}
		return usual(line)
	}
}

// refuses reports whether it is to refuse them now.
func (s *copyServer) refuses() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure == "refuse"
}

func TestWhatIsRefusedForGoodIsToldAndOnlyTheRestIsSentLater(t *testing.T) {
	s := newCopyServer(t)
	s.refusing("550-5.1.1 No such user p3@there.example.\n550 5.1.1 Sorry \xe9.", "p3@there.example", "p7@there.example")
	g := newGuard(t, s.u, individual)
	c := g.greeted()
	begin := func(to []string) {
		c.cmd("MAIL FROM:<me@home.example>", "250")
		for _, r := range to {
			c.cmd("RCPT TO:<"+r+">", "250")
		}
		c.cmd("DATA", "354")
	}
	to := people(20)
	begin(to)
	s.arm(0, "refuse")
	c.send(newsletter("1", to) + ".\r\n")
	if r := c.reply(); r != "550 5.1.1 Sent to 18 of 20; the server refused the others: No such user p3@there.example. Sorry ?." {
		t.Error(r)
	}
	if n := g.counter("sendguard_message_outcomes_total", "outcome", "refused_by_upstream"); n != 1 {
		t.Errorf("refused_by_upstream is %v", n)
	}
	s.arm(0, "")
	to[3], to[7] = "q3@there.example", "q7@there.example"
	begin(to) // a mail client sends the mended message under a new Message-ID
	c.send(newsletter("2", to) + ".\r\n")
	c.want("250 2.0.0 Sent: a copy of its own to each of 20 recipients")
	s.want(t, to, 1)
	if n := g.counter("sendguard_individual_copies_total", "result", "remembered"); n != 18 {
		t.Errorf("%v remembered", n)
	}
}

func TestATemporaryRefusalOutweighsOneForGood(t *testing.T) {
	s := newCopyServer(t)
	s.refusing("550 5.1.1 Nobody", "p1@there.example")
	usual := s.u.on
	s.u.on = func(line string) string {
		if s.refuses() && strings.HasPrefix(line, "RCPT TO:<p2@") {
			return "452 4.2.2 Mailbox full"
		}
		return usual(line)
	}
	g := newGuard(t, s.u, individual)
	c := g.greeted()
	c.cmd("MAIL FROM:<me@home.example>", "250")
	for _, r := range people(4) {
		c.cmd("RCPT TO:<"+r+">", "250")
	}
	c.cmd("DATA", "354")
	s.arm(0, "refuse")
	c.send(newsletter("1", people(4)) + ".\r\n")
	c.want("451 4.3.0 Sent to 2 of 4; send it again, and only those without a copy get one. The reason: Mailbox full")
	c.message(plain, "250") // the connection is still in step
}

// TestARefusalWithoutWordsIsOne: a reply may be its code alone, also an enhanced one.
func TestARefusalWithoutWordsIsOne(t *testing.T) {
	to := people(4)
	for _, end := range []string{"421", "421 ", "421 4.3.2 "} {
		for event := 1; event <= 1+4*len(to); event++ {
			s := newCopyServer(t)
			g := newGuard(t, s.u, individual)
			s.arm(1+len(to)+event, end)
			g.trySend(newsletter("1", to), to)
			s.arm(0, "")
			if r := g.trySend(newsletter("1", to), to); r[:3] != "250" {
				t.Errorf("%q at event %d: then %q", end, event, r)
			}
			s.want(t, to, 1)
			if n := g.counter("sendguard_session_faults_total", "fault", "panic"); n != 0 {
				t.Errorf("%q at event %d: it panicked", end, event)
			}
		}
	}
	for _, temporary := range []string{"451", "450 4.2.1 "} {
		s := newCopyServer(t)
		usual := s.u.on
		s.u.on = func(line string) string {
			switch {
			case s.refuses() && strings.HasPrefix(line, "RCPT TO:<p1@"):
				return "550 5.1.1 Nobody"
			case s.refuses() && strings.HasPrefix(line, "RCPT TO:<p2@"):
				return temporary
			}
			return usual(line)
		}
		g := newGuard(t, s.u, individual)
		c := g.greeted()
		c.cmd("MAIL FROM:<me@home.example>", "250")
		for _, r := range to {
			c.cmd("RCPT TO:<"+r+">", "250")
		}
		c.cmd("DATA", "354")
		s.arm(0, "refuse")
		c.send(newsletter("1", to) + ".\r\n")
		c.want("451 4.3.0 Sent to 2 of 4; send it again, and only those without a copy get one. The reason: no reason was given")
	}
}

func TestTheSameTextIsSentAgainWhenItWasFinished(t *testing.T) {
	s := newCopyServer(t)
	g := newGuard(t, s.u, individual)
	to := people(3)
	for i := range 4 { // an alert under a Message-ID of its own, and one that a program sends twice
		if r := g.trySend(newsletter(fmt.Sprint(i/2), to), to); r[:3] != "250" {
			t.Fatal(r)
		}
	}
	s.want(t, to, 4)
}

func TestATwinThatComesWhileTheFirstIsRunningIsToldToWait(t *testing.T) {
	s := newCopyServer(t)
	running, goOn := make(chan struct{}), make(chan struct{})
	usual := s.u.on
	first := true
	s.u.on = func(line string) string {
		said := usual(line)
		if line == "." && first {
			first = false
			close(running)
			<-goOn
		}
		return said
	}
	g := newGuard(t, s.u, individual)
	to := people(3)
	replies := make(chan string, 1)
	go func() { replies <- g.trySend(newsletter("1", to), to) }()
	<-running
	for _, id := range []string{"1", "2"} { // the same send, under the same Message-ID and under a new one
		if r := g.trySend(newsletter(id, to), to); r != strings.TrimSuffix(replyTwin, "\r\n") {
			t.Error(r)
		}
	}
	close(goOn)
	if r := <-replies; r[:3] != "250" {
		t.Error(r)
	}
	s.want(t, to, 1)
}

func TestALongRunEndsAndTheNextTryGoesOn(t *testing.T) {
	s := newCopyServer(t)
	g := newGuard(t, s.u, individual, func(s *setup) { s.limits.TimeBudget = 1 })
	to := people(4)
	for i := 1; i < len(to); i++ {
		want := fmt.Sprintf("451 4.3.0 Sent to %d of 4; send it again, and only those without a copy get one. The reason: it takes too long", i)
		if r := g.trySend(newsletter("1", to), to); r != want {
			t.Error(r)
		}
	}
	if r := g.trySend(newsletter("1", to), to); r[:3] != "250" {
		t.Error(r)
	}
	s.want(t, to, 1)
}

func TestAClientThatLeavesBeforeTheAnswerFindsItsSendDone(t *testing.T) {
	s := newCopyServer(t)
	last, goOn := make(chan struct{}), make(chan struct{})
	usual, messages := s.u.on, 0
	s.u.on = func(line string) string {
		if line == "." {
			if messages++; messages == 3 {
				close(last)
				<-goOn
			}
		}
		return usual(line)
	}
	g := newGuard(t, s.u, individual)
	to := people(3)
	c := g.greeted()
	c.cmd("MAIL FROM:<me@home.example>", "250")
	for _, r := range to {
		c.cmd("RCPT TO:<"+r+">", "250")
	}
	c.cmd("DATA", "354")
	c.send(newsletter("1", to) + ".\r\n")
	<-last
	c.conn.Close()
	close(goOn)
	for { // until the first run has ended, which nobody is told
		r := g.trySend(newsletter("1", to), to)
		if r[:3] == "250" {
			break
		}
		if r != strings.TrimSuffix(replyTwin, "\r\n") {
			t.Fatal(r)
		}
	}
	s.want(t, to, 1)
}

func TestAnAlertOfAProgramThatClosesItsSideIsNeverSwallowed(t *testing.T) {
	s := newCopyServer(t)
	g := newGuard(t, s.u, individual)
	to := people(3)
	alert := strings.Replace(newsletter("1", to), "Message-ID: <1@home.example>\r\n", "", 1)
	for range 3 {
		c := g.greeted()
		c.cmd("MAIL FROM:<me@home.example>", "250")
		for _, r := range to {
			c.cmd("RCPT TO:<"+r+">", "250")
		}
		c.cmd("DATA", "354")
		c.send(alert + ".\r\n")
		c.conn.(*net.TCPConn).CloseWrite()
		c.want("250")
		c.ended()
	}
	s.want(t, to, 3)
}

func TestAnUpstreamThatWaitsForASlowClientIsSpokenTo(t *testing.T) {
	for _, answers := range []string{"", "hang"} { // where it does not answer, another connection will do
		s := newCopyServer(t)
		awake := make(chan struct{})
		var once sync.Once
		usual := s.u.on
		s.u.on = func(line string) string {
			if line == "NOOP" {
				once.Do(func() { close(awake) })
				return answers
			}
			return usual(line)
		}
		g := newGuard(t, s.u, individual, func(s *setup) {
			s.limits.Stall, s.limits.UpstreamReply, s.upstream.Relay = 3*time.Second, 200*time.Millisecond, false
		})
		c := g.greeted()
		to := people(2)
		c.cmd("MAIL FROM:<me@home.example>", "250")
		c.drip(newsletter("1", to), to, awake)
		c.want("250 2.0.0 Sent: a copy of its own to each of 2 recipients")
		s.want(t, to, 1)
	}
}

// drip sends a message, the body of it slowly and until something has happened.
func (c *client) drip(message string, to []string, happened chan struct{}) {
	c.t.Helper()
	for _, r := range to {
		c.cmd("RCPT TO:<"+r+">", "250")
	}
	c.cmd("DATA", "354")
	c.send(message)
	for waiting := true; waiting; {
		c.send("and so on\r\n")
		select {
		case <-happened:
			waiting = false
		case <-time.After(10 * time.Millisecond):
		}
	}
	c.send(".\r\n")
}

func TestAnotherConnectionThatOffersLessIsNoReasonToBounce(t *testing.T) {
	s := newCopyServer(t)
	left := make(chan struct{})
	var greetings atomic.Int32
	usual := s.u.on
	s.u.on = func(line string) string {
		switch {
		case line == "NOOP":
			close(left)
			return "hang"
		case strings.HasPrefix(line, "EHLO") && greetings.Add(1) == 1:
			return "250-hello\n250-PIPELINING\n250 DSN"
		case strings.HasPrefix(line, "EHLO"):
			return "250-hello\n250 PIPELINING"
		}
		return usual(line)
	}
	g := newGuard(t, s.u, individual, func(s *setup) {
		s.limits.Stall, s.limits.UpstreamReply, s.upstream.Relay = 3*time.Second, 200*time.Millisecond, false
	})
	c := g.greeted()
	c.cmd("MAIL FROM:<me@home.example> RET=HDRS", "250")
	c.drip(newsletter("1", people(2)), people(2), left)
	c.want("421 4.4.2 Not sent: the server offers less than before")
	c.ended()
	s.want(t, people(2), 0)
}

func TestALargeMessageIsHeldInAFileWithoutAName(t *testing.T) {
	dir := t.TempDir()
	s := newCopyServer(t)
	listed := make(chan []os.DirEntry, 10)
	usual := s.u.on
	s.u.on = func(line string) string {
		if line == "." {
			entries, _ := os.ReadDir(dir)
			listed <- entries
		}
		return usual(line)
	}
	g := newGuard(t, s.u, individual, func(s *setup) { s.limits.SpoolDir = dir })
	to := people(3)
	for i, size := range []int{spoolMemory - 1000, 3 * spoolMemory} {
		body := strings.Repeat("0123456789abcdef\r\n..x\r\n", size/23)
		send := func(to []string) string { return newsletter(fmt.Sprint(i), to) + body }
		if r := g.trySend(send(to), to); r[:3] != "250" {
			t.Fatal(r)
		}
		for _, r := range to {
			if got := s.got[r][i]; got != send([]string{r}) {
				t.Errorf("%s got another message, %d bytes", r, len(got))
			}
			if entries := <-listed; len(entries) > 0 {
				t.Errorf("the folder holds %v", entries)
			}
		}
	}
}

func TestAMessageThatCannotBeHeldIsNotSent(t *testing.T) {
	s := newCopyServer(t)
	g := newGuard(t, s.u, individual, func(s *setup) { s.limits.SpoolDir = filepath.Join(t.TempDir(), "none") })
	to := people(2)
	c := g.greeted()
	c.cmd("MAIL FROM:<me@home.example>", "250")
	c.cmd("RCPT TO:<p0@there.example>", "250")
	c.cmd("RCPT TO:<p1@there.example>", "250")
	c.cmd("DATA", "354")
	c.send(newsletter("1", to) + strings.Repeat("0123456789abcdef\r\n", spoolMemory/16) + ".\r\n")
	c.want("452 4.3.1 Not sent: no room to hold the message")
	c.message(plain, "250")
	if n := g.counter("sendguard_session_faults_total", "fault", "spool"); n != 1 {
		t.Errorf("spool faults: %v", n)
	}
}

func TestNothingIsSentWhereNothingCanBeRemembered(t *testing.T) {
	s := newCopyServer(t)
	dir := t.TempDir()
	g := newGuard(t, s.u, individual, func(s *setup) { s.state = "bolt:" + filepath.Join(dir, "state") })
	g.sends.Close()
	to := people(2)
	if r := g.trySend(newsletter("1", to), to); r != strings.TrimSuffix(replyState, "\r\n") {
		t.Error(r)
	}
	if n := len(s.copies()); n != 0 {
		t.Errorf("%d got a copy", n)
	}
}

func TestWhatABodyShowsStopsCopiesBeforeTheFirst(t *testing.T) {
	s := newCopyServer(t)
	g := newGuard(t, s.u, individual)
	to := people(2)
	for name, body := range map[string]string{
		"bare newline": strings.Repeat("x\r\n", 100_000) + "y\nz\r\n",
		"invitation":   strings.Repeat("x\r\n", 100_000) + "--b\r\nContent-Type: text/calendar\r\n\r\n",
	} {
		message := strings.Replace(newsletter("1", to), "Subject", "Content-Type: multipart/mixed; boundary=b\r\nSubject", 1) + body
		if r := g.trySend(message, to); r[:5] != "550 5" {
			t.Errorf("%s: %s", name, r)
		}
	}
	if n := len(s.copies()); n != 0 {
		t.Errorf("%d got a copy", n)
	}
	if r := g.trySend(newsletter("1", to), to); r[:3] != "250" {
		t.Error(r)
	}
}

func TestAStopEndsARunBetweenTwoCopies(t *testing.T) {
	s := newCopyServer(t)
	usual := s.u.on
	var g *guard
	s.u.on = func(line string) string {
		if line == "." {
			g.mu.Lock()
			g.stopBy = time.Now().Add(lastCopyTime) // as Shutdown does
			g.mu.Unlock()
		}
		return usual(line)
	}
	g = newGuard(t, s.u, individual)
	to := people(4)
	if r := g.trySend(newsletter("1", to), to); !strings.HasPrefix(r, "451 4.3.0 Sent to 1 of 4;") {
		t.Error(r)
	}
}

func TestCopiesOfTheHeaderAreRewrittenForEachRecipient(t *testing.T) {
	s := newCopyServer(t)
	g := newGuard(t, s.u, individual)
	to := people(3)
	message := func(to []string) string {
		return "From: me@home.example\r\nTo: " + strings.Join(to, ", ") + "\r\nContent-Type: multipart/mixed; boundary=b; protected-headers=\"v1\"\r\n\r\n" +
			"--b\r\nContent-Type: text/plain\r\n..To: x\r\nTo: " + strings.Join(to, ", ") + "\r\n\r\n..\r\n" + strings.Repeat("...\r\n", policy.MaxBody/5) + "--b--\r\n"
	}
	if r := g.trySend(message(to), to); r[:3] != "250" {
		t.Fatal(r)
	}
	for _, r := range to {
		if got := s.got[r]; !slices.Equal(got, []string{message([]string{r})}) {
			t.Errorf("%s got %.300q", r, got)
		}
	}
}

func TestRecipientsWithoutAngleBracketsAreRecipientsToo(t *testing.T) {
	s := newCopyServer(t)
	g := newGuard(t, s.u, individual)
	c := g.greeted()
	c.cmd("MAIL FROM:me@home.example", "250")
	c.cmd("RCPT TO: p0@there.example NOTIFY=NEVER", "250")
	c.cmd("RCPT TO:p1@there.example ORCPT=rfc822;<x@there.example>", "250")
	c.cmd("DATA", "354")
	c.send(newsletter("1", people(2)) + ".\r\n")
	c.want("250 2.0.0 Sent: a copy of its own to each of 2 recipients")
	for _, r := range people(2) {
		if got := s.got[r]; !slices.Equal(got, []string{newsletter("1", []string{r})}) {
			t.Errorf("%s got %q", r, got)
		}
	}
}

func TestThePathOfACommand(t *testing.T) {
	for line, want := range map[string]string{
		"RCPT TO:<a@x.example> NOTIFY=NEVER":   "a@x.example",
		"RCPT TO: <a@x.example>":               "a@x.example",
		"rcpt to:a@x.example ORCPT=rfc822;<b>": "a@x.example",
		`RCPT TO:<"x@y> NOTIFY "@z.example>`:   `"x@y> NOTIFY "@z.example`,
		`RCPT TO:"a b"@x.example X=1`:          `"a b"@x.example`,
		"MAIL FROM:<>":                         "",
		"MAIL FROM:<a@x.example":               "a@x.example",
		"RCPT":                                 "",
	} {
		if got := pathOf([]byte(line + "\r\n")); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

func TestARunEndsWhereNobodyCanNoteWhoHasACopy(t *testing.T) {
	s := newCopyServer(t)
	dir := t.TempDir()
	var g *guard
	usual := s.u.on
	messages := 0
	s.u.on = func(line string) string {
		if line == "." {
			if messages++; messages == 3 {
				g.sends.Close()
			}
		}
		return usual(line)
	}
	g = newGuard(t, s.u, individual, func(s *setup) { s.state = "bolt:" + filepath.Join(dir, "state") })
	to := people(10)
	if r := g.trySend(newsletter("1", to), to); r != "451 4.3.0 Sent to 3 of 10; send it again, and only those without a copy get one. The reason: cannot note who has a copy" {
		t.Error(r)
	}
	if n := len(s.copies()); n != 3 {
		t.Errorf("%d got a copy", n)
	}
}

// Quoting alone makes no other mailbox (RFC 5321 section 4.1.2): one person gets one copy.
func TestAMailboxThatIsNamedInTwoWaysGetsOneCopy(t *testing.T) {
	s := newCopyServer(t)
	c := newGuard(t, s.u, individual).greeted()
	c.cmd("MAIL FROM:<me@home.example>", "250")
	for _, to := range []string{"<u0@there.example>", `<"u0"@There.example>`, `<"u\0"@there.example>`, "<u1@there.example>", "<U1@there.example>"} {
		c.cmd("RCPT TO:"+to, "250")
	}
	c.cmd("DATA", "354")
	c.send("From: me@home.example\r\nTo: u0@there.example, u1@there.example\r\n\r\nHello\r\n.\r\n")
	c.want("250 2.0.0 Sent: a copy of its own to each of 3 recipients") // letter case may tell two apart
	if _, messages, _ := s.u.got(); len(messages) != 3 {
		t.Errorf("there are %d copies", len(messages))
	}
}
