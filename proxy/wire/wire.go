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
// All methods but Interrupt are called by the one goroutine in which
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
	line []byte // the client's last command line, with CRLF
	rest []byte // what the library is given and has not read

	slot    []byte // what the library says to the line
	instead []byte // what the client is told instead, if it says the same thing
	out     []byte // settled, not yet sent

	mu       sync.Mutex
	waiting  bool // for a command, outside of a transaction
	stopping bool
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
		w.line = append(append(w.line[:0], bytes.TrimRight(line, "\r\n")...), CRLF...)
		if w.rest = w.session.Command(w.line); len(w.rest) > 0 {
			return nil
		}
		w.line = w.line[:0]
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

// Replace puts another connection in the place of the client's, one that begin
// makes of it within a limit: TLS, or what comes behind a PROXY header. The error
// is ErrStopping where a stop came in between.
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

// Line is the client's last command line, with CRLF; good until the next one.
func (w *Wire) Line() []byte { return w.line }

// IsOver reports whether the connection has ended.
func (w *Wire) IsOver() bool { return w.phase == ended }

// HasMore reports whether something came behind the last command line.
func (w *Wire) HasMore() bool { return len(w.in) > 0 }

// CancelLogin has the client's last line, a response, read as one that cancels the
// exchange (RFC 4954 section 4).
func (w *Wire) CancelLogin() { w.line = append(w.line[:0], "*\r\n"...) }

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
	m := newMessage(w, normalize)
	if m == nil {
		w.slot = w.slot[:0]
		w.rest = FinalDot
		return nil
	}
	w.phase = commands
	w.Settle()
	w.Flush()
	w.rest = FinalDot
	return m
}

// read gives a piece of a message: what the client sent along with its
// last command, or what comes within the stall limit. An end of the
// connection is never io.EOF.
func (w *Wire) read(b []byte) (int, error) {
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
