package wire

import (
	"bufio"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// A talker is a session that gives the library every line, and notes what it is
// asked.
type talker struct {
	w       *Wire
	busy    bool
	reasons []error
}

func (s *talker) Begin() {}

func (s *talker) Command(line []byte) []byte {
	if string(line) == "DATA\r\n" {
		s.w.ExpectMessage()
	}
	return line
}

func (s *talker) Replied([]byte, bool) {}

func (s *talker) Told(reply []byte) bool { return strings.HasPrefix(string(reply), "421") }

func (s *talker) Why(reason error) []byte {
	s.reasons = append(s.reasons, reason)
	return []byte("421 because\r\n")
}

func (s *talker) Busy() bool { return s.busy }

func (s *talker) Closed() {}

// newTalker connects a client to a wire through a real socket.
func newTalker(t *testing.T) (s *talker, client net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); conn.Close() })
	client.SetDeadline(time.Now().Add(10 * time.Second))
	s = &talker{}
	s.w = New(conn, Limits{LineBytes: 100, Idle: 10 * time.Second, Stall: 10 * time.Second}, NewBudget(1<<20), s)
	return s, client
}

// lines is what the library is given until the end.
func (s *talker) lines() (all []string) {
	r := bufio.NewReader(s.w)
	for {
		line, err := r.ReadString('\n')
		if line != "" {
			all = append(all, line)
		}
		if err != nil {
			return all
		}
		s.w.Write([]byte("250 ok\r\n"))
	}
}

func say(t *testing.T, client net.Conn, what string) {
	t.Helper()
	if _, err := client.Write([]byte(what)); err != nil {
		t.Fatal(err)
	}
}

func TestTheLibraryIsGivenWholeLinesAndNoHalfOne(t *testing.T) {
	s, client := newTalker(t)
	say(t, client, "ONE\nTWO\r\nHALF")
	client.(*net.TCPConn).CloseWrite()
	if got := s.lines(); !slices.Equal(got, []string{"ONE\r\n", "TWO\r\n"}) {
		t.Errorf("got %q", got)
	}
}

func TestWhatIsBehindADATAThatNobodyTookIsNotRun(t *testing.T) {
	s, client := newTalker(t)
	say(t, client, "DATA\r\nMAIL\r\n")
	client.(*net.TCPConn).CloseWrite()
	if got := s.lines(); !slices.Equal(got, []string{"DATA\r\n"}) || !slices.Equal(s.reasons, []error{ErrOutOfStep}) {
		t.Errorf("got %q, ended for %v", got, s.reasons)
	}
}

func TestALineThatIsTooLongEndsTheConnection(t *testing.T) {
	s, client := newTalker(t)
	say(t, client, strings.Repeat("x", 200)+"\r\nMAIL\r\n")
	client.(*net.TCPConn).CloseWrite()
	if got := s.lines(); len(got) > 0 || !slices.Equal(s.reasons, []error{ErrLineTooLong}) {
		t.Errorf("got %q, ended for %v", got, s.reasons)
	}
}

// A message is taken past its end by no byte, and what follows it is a command.
func TestAMessageEndsAtItsEndAndACommandFollows(t *testing.T) {
	s, client := newTalker(t)
	say(t, client, "DATA\r\na\r\n..b\r\n.\r\nNEXT\r\n")
	r := bufio.NewReader(s.w)
	if line, err := r.ReadString('\n'); err != nil || line != "DATA\r\n" {
		t.Fatalf("%q %v", line, err)
	}
	m := s.w.TakeMessage(false)
	piece, last, err := m.Next()
	if err != nil || !last || string(piece) != "a\r\n..b\r\n" || m.Size() != 7 || m.Dots() != 1 || m.Bare() {
		t.Errorf("%q %v %v, %d bytes, %d dots", piece, last, err, m.Size(), m.Dots())
	}
	m.Release()
	for _, want := range []string{".\r\n", "NEXT\r\n"} {
		if line, err := r.ReadString('\n'); err != nil || line != want {
			t.Errorf("%q %v, want %q", line, err, want)
		}
	}
}

func TestAMessageThatBreaksOffSaysWhy(t *testing.T) {
	s, client := newTalker(t)
	say(t, client, "DATA\r\na\r\n")
	client.(*net.TCPConn).CloseWrite()
	bufio.NewReader(s.w).ReadString('\n')
	m := s.w.TakeMessage(false)
	defer m.Release()
	last, err := false, error(nil)
	for err == nil && !last {
		_, last, err = m.Next()
	}
	if last || !errors.Is(err, ErrGone) {
		t.Errorf("last %v, %v", last, err)
	}
}

func TestAStopEndsAWaitUnlessATransactionIsOpen(t *testing.T) {
	for _, busy := range []bool{false, true} {
		s, client := newTalker(t)
		s.busy = busy
		s.w.limits.Idle = 200 * time.Millisecond
		s.w.Interrupt()
		s.lines()
		want := ErrStopping
		if busy {
			want = ErrIdle
		}
		if !slices.Equal(s.reasons, []error{want}) {
			t.Errorf("busy %v: ended for %v", busy, s.reasons)
		}
		if _, err := client.Read(make([]byte, 100)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the client is not told: %v", err)
		}
	}
}
