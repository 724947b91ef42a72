package proxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// A wire stands between the client's connection and go-smtp, as its net.Conn.
// It owns what the client sends: the library is given whole command lines, one
// at a time, and nothing past a DATA line. And it owns what the client is
// told: a reply of the library is held in a slot, where the session's answer
// can take its place, until the library reads on.
//
// All methods but interrupt are called by the one goroutine in which
// the library serves the connection.
type wire struct {
	conn    net.Conn
	limits  lineLimits
	memory  *budget
	session talker

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

// A talker decides what is said over a wire. Its methods are called in the
// library's goroutine.
type talker interface {
	// begin is what comes before the greeting.
	begin()
	// command says what the library is given of a command line; nothing: it is
	// answered already.
	command(line []byte) []byte
	// replied hears what the library says to a command, and whether the client is
	// told an answer instead.
	replied(said []byte, answered bool)
	// told hears each reply, and reports whether the connection ends with it.
	told(reply []byte) (ends bool)
	// why says what the client is told of the reason why the connection ends, or
	// why the library could not answer; nothing: it has gone.
	why(reason error) []byte
	// busy reports whether a transaction is open: a stop waits for its end.
	busy() bool
	// closed is called when the library is done with the connection, perhaps again.
	closed()
}

// lineLimits bound what a client sends.
type lineLimits struct {
	lineBytes int           // of a command line
	idle      time.Duration // between commands
	stall     time.Duration // between bytes of a message, and until it takes a reply
}

// newWire makes the wire of a connection. What it holds is taken out of memory.
func newWire(conn net.Conn, limits lineLimits, memory *budget, session talker) *wire {
	return &wire{conn: conn, limits: limits, memory: memory, session: session}
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

// errEnded is what the library reads once a connection is over. It takes
// net.ErrClosed for an end without a message, io.EOF for the end of a body.
var errEnded = net.ErrClosed

// Why a connection ends, besides errors of the network: what the session is asked
// to put into words.
var (
	errLineTooLong   = errors.New("command line too long")
	errNoMemory      = errors.New("no memory for a long command line")
	errStopping      = errors.New("shutting down")
	errTooManyErrors = errors.New("too many errors")
	errOutOfStep     = errors.New("a message without leave to send it")
	errInternal      = errors.New("a mistake of our own")
)

// Read gives the library its next command line, or a part of it.
func (w *wire) Read(b []byte) (int, error) {
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
func (w *wire) next() error {
	if w.phase == fresh { // the greeting is in the slot
		w.phase = commands
		w.session.begin()
	}
	for {
		w.settle()
		w.shrink()
		switch {
		case w.phase == ending:
			w.endWith(nil)
		case w.errors > maxCommandErrors:
			w.endFor(errTooManyErrors)
		}
		if w.phase == ended {
			return errEnded
		}
		if w.phase == asked && len(w.in) > 0 {
			// The library refused DATA, or the session did, and the client
			// did not wait: what follows is a message, not commands.
			w.endFor(errOutOfStep)
			continue
		}
		w.phase = commands
		line, err := w.readLine()
		if err != nil {
			w.endFor(err)
			continue
		}
		w.line = append(append(w.line[:0], bytes.TrimRight(line, "\r\n")...), crlf...)
		if w.rest = w.session.command(w.line); len(w.rest) > 0 {
			return nil
		}
		w.line = w.line[:0]
	}
}

// readLine takes one line, CRLF or LF included. One deadline holds for all of
// it, so that a trickle of bytes does not keep a connection open.
func (w *wire) readLine() ([]byte, error) {
	searched := 0
	for first := true; ; first = false {
		line, found := w.in, false
		if i := bytes.IndexByte(w.in[searched:], '\n'); i >= 0 {
			line, found = w.in[:searched+i+1], true
		}
		if len(line) > w.limits.lineBytes+len(crlf) {
			return nil, errLineTooLong
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
func (w *wire) fillLine(first bool) error {
	w.flush()
	if first {
		if err := w.await(w.limits.idle); err != nil {
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
			return errNoMemory
		}
	}
	n, err := w.conn.Read(w.in[len(w.in):cap(w.in)])
	w.in = w.in[:len(w.in)+n]
	stopped := w.awaited()
	if n > 0 {
		return nil
	}
	if stopped && errors.Is(err, os.ErrDeadlineExceeded) {
		return errStopping
	}
	return err
}

// grow makes room for more of a long line, if there is any. What the line takes
// besides, as it is handed on, is about as much.
func (w *wire) grow() bool {
	size := 2*len(w.in) + readSize
	if !w.memory.take(2 * size) {
		return false
	}
	w.in = append(make([]byte, 0, size), w.in...)
	w.memory.give(w.held)
	w.held = 2 * size
	return true
}

// shrink gives back what a long line took, or several, when they are done with.
func (w *wire) shrink() {
	if w.held > 0 && len(w.in) <= cap(w.buf) {
		w.in = append(w.buf, w.in...)
		w.line, w.rest = nil, nil
		w.memory.give(w.held)
		w.held = 0
	}
}

// await begins a wait for the client. A stop ends it before its time, unless a
// transaction is open.
func (w *wire) await(limit time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	busy := w.session.busy()
	if w.stopping && !busy {
		return errStopping
	}
	w.waiting = !busy
	w.conn.SetReadDeadline(time.Now().Add(limit))
	return nil
}

// awaited ends the wait and reports whether a stop came in between.
func (w *wire) awaited() (stopped bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	stopped = w.stopping && w.waiting
	w.waiting = false
	return stopped
}

// readSize is what a connection reads commands with.
const readSize = 2048

// replaceConn puts another connection in the place of the client's, one that begin
// makes of it within a limit: TLS, or what comes behind a PROXY header. The error
// is errStopping where a stop came in between.
func (w *wire) replaceConn(limit time.Duration, begin func(net.Conn) (net.Conn, error)) error {
	if err := w.await(min(limit, w.limits.idle)); err != nil {
		return err
	}
	conn, err := begin(w.conn)
	stopped := w.awaited()
	switch {
	case err == nil:
		w.conn = conn
	case stopped && errors.Is(err, os.ErrDeadlineExceeded):
		return errStopping
	}
	return err
}

// isOver reports whether the connection has ended.
func (w *wire) isOver() bool { return w.phase == ended }

// hasMore reports whether something came behind the last command line.
func (w *wire) hasMore() bool { return len(w.in) > 0 }

// cancelLogin has the client's last line, a response, read as one that cancels the
// exchange (RFC 4954 section 4).
func (w *wire) cancelLogin() { w.line = append(w.line[:0], "*\r\n"...) }

// wrong counts something that the client got wrong.
func (w *wire) wrong() { w.errors++ }

// forgive forgets what the client got wrong.
func (w *wire) forgive() { w.errors = 0 }

// expectMessage says that the last command was DATA.
func (w *wire) expectMessage() { w.phase = asked }

// takeMessage takes a message from the client, which is told to send it. The
// library gets the final dot when it reads next. nil: there is no memory for it,
// and the client was not told.
func (w *wire) takeMessage(normalize bool) *bodyReader {
	body := newBodyReader(w, normalize)
	if body == nil {
		w.slot = w.slot[:0]
		w.rest = finalDot
		return nil
	}
	w.phase = commands
	w.settle()
	w.flush()
	w.rest = finalDot
	return body
}

// readBody reads a piece of a message: what the client sent along with its
// last command, or what comes within the stall limit. An end of the
// connection is never io.EOF.
func (w *wire) readBody(b []byte) (int, error) {
	if w.phase == ended {
		return 0, errEnded
	}
	if len(w.in) > 0 {
		n := copy(b, w.in)
		w.in = w.in[n:]
		return n, nil
	}
	w.conn.SetReadDeadline(time.Now().Add(w.limits.stall))
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

// gone reports whether the client has left: its side of the connection has
// ended, and it has sent nothing more.
func (w *wire) gone() bool {
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
func (w *wire) unread(b []byte) {
	if len(b) > 0 {
		w.in = append(append(make([]byte, 0, len(b)+len(w.in)), b...), w.in...)
		w.memory.give(w.held - len(w.in))
		w.held = len(w.in)
	}
}

// interrupt ends the connection as soon as no transaction is open.
func (w *wire) interrupt() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopping = true
	if w.waiting {
		w.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// Close is the library's: it is done with the connection.
func (w *wire) Close() error {
	if w.phase != ended {
		w.settle()
		w.end()
	}
	w.in = nil
	w.shrink()
	w.session.closed()
	return nil
}

// Deadlines are the wire's own; the library sets none.
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

func (w *wire) LocalAddr() net.Addr  { return w.conn.LocalAddr() }
func (w *wire) RemoteAddr() net.Addr { return w.conn.RemoteAddr() }
