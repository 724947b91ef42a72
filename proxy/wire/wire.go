package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// A Wire stands between the client's connection and go-smtp, as its net.Conn.
// It owns what the client sends: the library is given whole command lines, one
// at a time, and nothing past a DATA line. And it owns what the client is
// told: a reply of the library is held in a slot, where the session's answer
// can take its place, until the library reads on.
//
// All methods but interrupt are called by the one goroutine in which
// the library serves the connection.
type Wire struct {
	conn    net.Conn
	limits  Limits
	memory  *Budget
	session Session

	phase  phase
	errors int // what the client got wrong since its last accepted message

	buf  []byte // where commands are read into
	held int    // taken out of the budget for what is longer
	in   []byte // received and not yet taken
	Line []byte // the client's last command line, with CRLF
	rest []byte // what the library is given and has not read

	slot    []byte // what the library says to the line
	instead []byte // what the client is told instead, if it says the same thing
	out     []byte // settled, not yet sent

	mu       sync.Mutex
	waiting  bool // for a command, outside of a transaction
	stopping bool
}

// A Session decides what is said over a wire. Its methods are called in the
// library's goroutine.
type Session interface {
	// Begin is what comes before the greeting.
	Begin()
	// Command says what the library is given of a command line; nothing: it is
	// answered already.
	Command(line []byte) []byte
	// Replied hears what the library says to a command, and whether the client is
	// Told an answer instead.
	Replied(said []byte, answered bool)
	// Told hears each reply, and reports whether the connection ends with it.
	Told(reply []byte) (ends bool)
	// Why says what the client is told of the reason why the connection ends, or
	// Why the library could not answer; nothing: it has gone.
	Why(reason error) []byte
	// Busy reports whether a transaction is open: a stop waits for its end.
	Busy() bool
	// Closed is called when the library is done with the connection, perhaps again.
	Closed()
}

// Limits bound what a client sends.
type Limits struct {
	LineBytes int           // of a command line
	Idle      time.Duration // between commands
	Stall     time.Duration // between bytes of a message, and until it takes a reply
}

// New makes the wire of a connection. What it holds is taken out of memory.
func New(conn net.Conn, limits Limits, memory *Budget, session Session) *Wire {
	return &Wire{conn: conn, limits: limits, memory: memory, session: session}
}

// A phase is what the wire does with what comes next.
type phase int

const (
	fresh    phase = iota // nothing was read, and no greeting sent
	commands              // lines are commands
	asked                 // the last one was DATA: a message comes, unless it is refused
	ending                // the client is told why, and then all ends
	ended                 // nothing more is read or said
)

// maxCommandErrors ends a connection that talks something else than SMTP, at
// as many errors as Postfix does.
const maxCommandErrors = 20

// ErrEnded is what the library reads once a connection is over. It takes
// net.ErrClosed for an end without a message, io.EOF for the end of a body.
var ErrEnded = net.ErrClosed

// Why a connection ends, besides errors of the network: what the session is asked
// to put into words.
var (
	ErrLineTooLong   = errors.New("command line too long")
	ErrNoMemory      = errors.New("no memory for a long command line")
	ErrStopping      = errors.New("shutting down")
	ErrIdle          = errors.New("no command for too long")
	ErrTooManyErrors = errors.New("too many errors")
	ErrOutOfStep     = errors.New("a message without leave to send it")
	ErrInternal      = errors.New("a mistake of our own")
)

// Read gives the library its next command line, or a part of it.
func (w *Wire) Read(b []byte) (int, error) {
	if len(w.rest) == 0 {
		if err := w.next(); err != nil {
			return 0, err
		}
	}
	n := copy(b, w.rest)
	w.rest = w.rest[n:]
	return n, nil
}

// next takes the next command line that is for the library. That the library
// asks for it means that it is done with the last one.
func (w *Wire) next() error {
	if w.phase == fresh { // the greeting is in the slot
		w.phase = commands
		w.session.Begin()
	}
	for {
		w.Settle()
		w.shrink()
		switch {
		case w.phase == ending:
			w.EndWith(nil)
		case w.errors > maxCommandErrors:
			w.endFor(ErrTooManyErrors)
		}
		if w.phase == ended {
			return ErrEnded
		}
		if w.phase == asked && len(w.in) > 0 {
			// The library refused DATA, or the session did, and the client
			// did not wait: what follows is a message, not commands.
			w.endFor(ErrOutOfStep)
			continue
		}
		w.phase = commands
		line, err := w.readLine()
		if err != nil {
			w.failRead(err)
			continue
		}
		w.Line = append(append(w.Line[:0], bytes.TrimRight(line, "\r\n")...), CRLF...)
		if w.rest = w.session.Command(w.Line); len(w.rest) > 0 {
			return nil
		}
		w.Line = w.Line[:0]
	}
}

// failRead ends the connection for the reason that reading has failed.
func (w *Wire) failRead(err error) {
	switch {
	case errors.Is(err, ErrLineTooLong), errors.Is(err, ErrNoMemory), errors.Is(err, ErrStopping):
		w.endFor(err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.endFor(ErrIdle)
	default: // gone; without QUIT, as many clients do
		w.End()
	}
}

// readLine takes one line, CRLF or LF included. One deadline holds for all of
// it, so that a trickle of bytes does not keep a connection open.
func (w *Wire) readLine() ([]byte, error) {
	searched := 0
	for first := true; ; first = false {
		line, found := w.in, false
		if i := bytes.IndexByte(w.in[searched:], '\n'); i >= 0 {
			line, found = w.in[:searched+i+1], true
		}
		if len(line) > w.limits.LineBytes+len(CRLF) {
			return nil, ErrLineTooLong
		}
		if found {
			w.in = w.in[len(line):]
			return line, nil
		}
		searched = len(line)
		if err := w.fillLine(first); err != nil {
			return nil, err
		}
	}
}

// fillLine reads more of a command line. first says that the wait for it
// begins: the deadline starts, and a stop may come in between.
func (w *Wire) fillLine(first bool) error {
	w.Flush()
	if first {
		if err := w.await(w.limits.Idle); err != nil {
			return err
		}
	}
	switch {
	case w.buf == nil:
		w.buf = make([]byte, 0, readSize)
		w.in = append(w.buf, w.in...)
	case len(w.in) == 0:
		w.in = w.buf
	case len(w.in) == cap(w.in):
		if !w.grow() {
			return ErrNoMemory
		}
	}
	n, err := w.conn.Read(w.in[len(w.in):cap(w.in)])
	w.in = w.in[:len(w.in)+n]
	stopped := w.awaited()
	if n > 0 {
		return nil
	}
	if stopped && errors.Is(err, os.ErrDeadlineExceeded) {
		return ErrStopping
	}
	return err
}

// grow makes room for more of a long line, if there is any. What the line takes
// besides, as it is handed on, is about as much.
func (w *Wire) grow() bool {
	size := 2*len(w.in) + readSize
	if !w.memory.Take(2 * size) {
		return false
	}
	w.in = append(make([]byte, 0, size), w.in...)
	w.memory.Give(w.held)
	w.held = 2 * size
	return true
}

// shrink gives back what a long line took, or several, when they are done with.
func (w *Wire) shrink() {
	if w.held > 0 && len(w.in) <= cap(w.buf) {
		w.in = append(w.buf, w.in...)
		w.Line, w.rest = nil, nil
		w.memory.Give(w.held)
		w.held = 0
	}
}

// await begins a wait for the client. A stop ends it before its time, unless a
// transaction is open.
func (w *Wire) await(limit time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	busy := w.session.Busy()
	if w.stopping && !busy {
		return ErrStopping
	}
	w.waiting = !busy
	w.conn.SetReadDeadline(time.Now().Add(limit))
	return nil
}

// awaited ends the wait and reports whether a stop came in between.
func (w *Wire) awaited() (stopped bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	stopped = w.stopping && w.waiting
	w.waiting = false
	return stopped
}

// readSize is what a connection reads commands with.
const readSize = 2048

// Replace puts another connection in the place of the client's, one that begin
// makes of it within a limit: TLS, or what comes behind a PROXY header. The error
// is errStopping where a stop came in between.
func (w *Wire) Replace(limit time.Duration, begin func(net.Conn) (net.Conn, error)) error {
	if err := w.await(min(limit, w.limits.Idle)); err != nil {
		return err
	}
	conn, err := begin(w.conn)
	stopped := w.awaited()
	switch {
	case err == nil:
		w.conn = conn
	case stopped && errors.Is(err, os.ErrDeadlineExceeded):
		return ErrStopping
	}
	return err
}

// IsOver reports whether the connection has ended.
func (w *Wire) IsOver() bool { return w.phase == ended }

// HasMore reports whether something came behind the last command line.
func (w *Wire) HasMore() bool { return len(w.in) > 0 }

// CancelLogin has the client's last line, a response, read as one that cancels the
// exchange (RFC 4954 section 4).
func (w *Wire) CancelLogin() { w.Line = append(w.Line[:0], "*\r\n"...) }

// Wrong counts something that the client got wrong.
func (w *Wire) Wrong() { w.errors++ }

// Forgive forgets what the client got wrong.
func (w *Wire) Forgive() { w.errors = 0 }

// ExpectMessage says that the last command was DATA.
func (w *Wire) ExpectMessage() { w.phase = asked }

// TakeMessage takes a message from the client, which is told to send it. The
// library gets the final dot when it reads next. nil: there is no memory for it,
// and the client was not told.
func (w *Wire) TakeMessage(normalize bool) *Message {
	body := newBodyReader(w, normalize)
	if body == nil {
		w.slot = w.slot[:0]
		w.rest = FinalDot
		return nil
	}
	w.phase = commands
	w.Settle()
	w.Flush()
	w.rest = FinalDot
	return body
}

// readBody reads a piece of a message: what the client sent along with its
// last command, or what comes within the stall limit. An end of the
// connection is never io.EOF.
func (w *Wire) readBody(b []byte) (int, error) {
	if w.phase == ended {
		return 0, ErrEnded
	}
	if len(w.in) > 0 {
		n := copy(b, w.in)
		w.in = w.in[n:]
		return n, nil
	}
	w.conn.SetReadDeadline(time.Now().Add(w.limits.Stall))
	n, err := w.conn.Read(b)
	if n > 0 {
		return n, nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return 0, err
}

// Gone reports whether the client has left: its side of the connection has
// ended, and it has sent nothing more.
func (w *Wire) Gone() bool {
	if w.phase == ended || len(w.in) > 0 {
		return w.phase == ended
	}
	b := make([]byte, 64)
	w.conn.SetReadDeadline(time.Now().Add(time.Millisecond)) // one in the past would not look at all
	n, err := w.conn.Read(b)
	w.unread(b[:n])
	return n == 0 && !errors.Is(err, os.ErrDeadlineExceeded)
}

// unread gives back what was read past the end of a message. It is taken out of
// the budget, room or not: what it came in is given back next, and is larger.
func (w *Wire) unread(b []byte) {
	if len(b) > 0 {
		w.in = append(append(make([]byte, 0, len(b)+len(w.in)), b...), w.in...)
		w.memory.Give(w.held - len(w.in))
		w.held = len(w.in)
	}
}

// Interrupt ends the connection as soon as no transaction is open.
func (w *Wire) Interrupt() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopping = true
	if w.waiting {
		w.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// Close is the library's: it is done with the connection.
func (w *Wire) Close() error {
	if w.phase != ended {
		w.Settle()
		w.End()
	}
	w.in = nil
	w.shrink()
	w.session.Closed()
	return nil
}

// Deadlines are the wire's own; the library sets none.
func (w *Wire) SetDeadline(time.Time) error      { return nil }
func (w *Wire) SetReadDeadline(time.Time) error  { return nil }
func (w *Wire) SetWriteDeadline(time.Time) error { return nil }

func (w *Wire) LocalAddr() net.Addr  { return w.conn.LocalAddr() }
func (w *Wire) RemoteAddr() net.Addr { return w.conn.RemoteAddr() }
