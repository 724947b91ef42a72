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
// told: a reply of the library is held in a slot, where the upstream's own
// reply can take its place, until the library reads on.
//
// All methods but interrupt are called by the one goroutine in which
// the library serves the connection.
type wire struct {
	conn    net.Conn
	limits  *Limits
	buffers *budget

	buf  []byte // where commands are read into
	held int    // taken out of the budget for what is longer
	in   []byte // received and not yet taken
	line []byte // the client's last command line, with CRLF
	rest []byte // what the library is given of it and has not read

	slot    []byte // what the library says to the line
	instead []byte // what the client is told instead, if it says the same thing
	out     []byte // settled, not yet sent

	screen  func(line []byte) []byte  // what the library is given of a command; nil: nothing
	replied func()                    // the library is done with a command
	refer   func(reply, fault) []byte // counts and logs why the connection ends, or a command is refused; what is told of it
	onFault func(fault)
	told    func(reply []byte) // is called with each
	begin   func()             // what comes before the greeting
	busy    func() bool        // a transaction is open upstream: a stop waits for its end
	onClose func()

	body     bool  // the last command was DATA, and its message is not taken yet
	dotDue   bool  // the body is taken: the library is given its final dot
	farewell reply // what the client is told at its next command, then the end
	ending   bool  // ends as soon as the client has been told why
	ended    bool  // nothing more is read or said
	errors   int   // what the client got wrong since its last accepted message

	mu       sync.Mutex
	waiting  bool // for a command, outside of a transaction
	stopping bool
}

// maxCommandErrors ends a connection that talks something else than SMTP, at
// as many errors as Postfix does.
const maxCommandErrors = 20

// errEnded is what the library reads once a connection is over. It takes
// net.ErrClosed for an end without a message, io.EOF for the end of a body.
var errEnded = net.ErrClosed

// Read gives the library its next command line, or a part of it.
func (w *wire) Read(b []byte) (int, error) {
	if w.dotDue {
		w.dotDue = false
		w.rest = []byte(".\r\n")
	}
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
	if begin := w.begin; begin != nil { // the greeting is in the slot
		w.begin = nil
		begin()
	}
	for {
		w.settle()
		w.shrink()
		switch {
		case w.ending:
			w.endWith(nil)
		case w.errors > maxCommandErrors:
			w.endFor(replyTooManyErrors, faultTooManyErrors)
		}
		if w.ended {
			return errEnded
		}
		if w.body && len(w.in) > 0 {
			// The library refused DATA, or the session did, and the client
			// did not wait: what follows is a message, not commands.
			w.endFor(replyOutOfStep, faultOutOfStep)
			continue
		}
		w.body = false
		line, err := w.readLine()
		if err != nil {
			w.failRead(err)
			continue
		}
		if w.farewell.code != 0 && !isVerb(line, "QUIT") {
			w.endWith(w.refer(w.farewell, ""))
			continue
		}
		w.line = append(append(w.line[:0], bytes.TrimRight(line, "\r\n")...), crlf...)
		if w.rest = w.screen(w.line); len(w.rest) > 0 {
			return nil
		}
		w.line = w.line[:0]
	}
}

// failRead ends the connection for the reason that reading has failed.
func (w *wire) failRead(err error) {
	switch {
	case errors.Is(err, errLineTooLong):
		w.endFor(replyLineTooLong, faultLineTooLong)
	case errors.Is(err, errBuffersFull):
		w.endFor(replyNoMemory, faultBuffersFull)
	case errors.Is(err, errStopping):
		w.endFor(replyStopping, "")
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.endFor(replyIdle, faultClientTimeout)
	default: // gone; without QUIT, as many clients do
		w.end()
	}
}

var (
	errLineTooLong = errors.New("command line too long")
	errStopping    = errors.New("shutting down")
)

// readLine takes one line, CRLF or LF included. One deadline holds for all of
// it, so that a trickle of bytes does not keep a connection open.
func (w *wire) readLine() ([]byte, error) {
	searched := 0
	for first := true; ; first = false {
		line, found := w.in, false
		if i := bytes.IndexByte(w.in[searched:], '\n'); i >= 0 {
			line, found = w.in[:searched+i+1], true
		}
		if len(line) > w.limits.LineBytes+len(crlf) {
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
			return errBuffersFull
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
	if !w.buffers.take(2 * size) {
		return false
	}
	w.in = append(make([]byte, 0, size), w.in...)
	w.buffers.give(w.held)
	w.held = 2 * size
	return true
}

// shrink gives back what a long line took, or several, when they are done with.
func (w *wire) shrink() {
	if w.held > 0 && len(w.in) <= cap(w.buf) {
		w.in = append(w.buf, w.in...)
		w.line, w.rest = nil, nil
		w.buffers.give(w.held)
		w.held = 0
	}
}

// await begins a wait for the client. A stop ends it before its time, unless a
// transaction is open.
func (w *wire) await(limit time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	busy := w.busy()
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

// takeBody begins to take a message from the client, which is told to send it.
// The library gets its final dot when it reads next.
func (w *wire) takeBody() {
	w.settle()
	w.flush()
	w.body, w.dotDue = false, true
}

// refuseBody is for a DATA command that is refused before 354 has gone out.
func (w *wire) refuseBody() {
	w.slot = w.slot[:0]
	w.dotDue = true
}

// readBody reads a piece of a message: what the client sent along with its
// last command, or what comes within the stall limit. An end of the
// connection is never io.EOF.
func (w *wire) readBody(b []byte) (int, error) {
	if w.ended {
		return 0, errEnded
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

// gone reports whether the client has left: its side of the connection has
// ended, and it has sent nothing more.
func (w *wire) gone() bool {
	if w.ended || len(w.in) > 0 {
		return w.ended
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
		w.buffers.give(w.held - len(w.in))
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
	if !w.ended {
		w.settle()
		w.end()
	}
	w.in = nil
	w.shrink()
	if w.onClose != nil {
		w.onClose()
		w.onClose = nil
	}
	return nil
}

// Deadlines are the wire's own; the library sets none.
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

func (w *wire) LocalAddr() net.Addr  { return w.conn.LocalAddr() }
func (w *wire) RemoteAddr() net.Addr { return w.conn.RemoteAddr() }
