package wire

import (
	"bytes"
	"errors"
	"os"
	"time"
)

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
		w.line, w.rest = nil, nil
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
