package proxy

import (
	"bytes"
	"io"
	"time"
)

// Write holds what the library says until it is settled.
func (w *wire) Write(b []byte) (int, error) {
	w.slot = append(w.slot, b...)
	return len(b), nil
}

// settle decides what the client is told to its last command: the session's
// answer where there is one and it agrees with what the library made of the
// command, the library's own otherwise.
func (w *wire) settle() {
	if len(w.line) > 0 {
		w.session.replied(w.slot, len(w.instead) > 0)
		if w.line = w.line[:0]; cap(w.line) > 2*readSize {
			w.line = nil // a long one is rare
		}
	}
	said := w.slot
	if len(said) > 0 && len(w.instead) > 0 && (w.instead[0] >= '4') == (said[0] >= '4') {
		said = w.instead
	} else if bytes.HasPrefix(said, []byte("421")) { // the library's own: a panic
		said = w.session.why(errInternal)
	}
	w.say(said)
	w.slot, w.instead = w.slot[:0], nil
}

// settleEarly settles what the library has said and would only send with what it
// says next; where it has said nothing, it may still have to.
func (w *wire) settleEarly() {
	if len(w.slot) > 0 {
		w.settle()
	}
}

// answer has the client told a reply instead of what the library says to its last
// command, if both refuse or neither does.
func (w *wire) answer(reply []byte) { w.instead = reply }

// say sends a reply to the client at the next flush.
func (w *wire) say(reply []byte) {
	if len(reply) == 0 {
		return
	}
	if w.out = append(w.out, reply...); w.session.told(reply) && w.phase != ended {
		w.phase = ending
	}
}

// refuse answers a command that the library is not given.
func (w *wire) refuse(reply []byte) {
	w.say(reply)
	w.wrong()
}

// endFor tells the client why the connection ends, if it is there, and ends it.
func (w *wire) endFor(reason error) {
	if told := w.session.why(reason); len(told) > 0 {
		w.endWith(told)
		return
	}
	w.end()
}

// endWith tells the client the last reply and ends the connection.
func (w *wire) endWith(reply []byte) {
	w.say(reply)
	w.flush()
	w.linger()
	w.end()
}

// linger reads for a moment what the client still sends: closing a socket with
// unread bytes would reset the connection, and the last reply could be lost.
func (w *wire) linger() {
	half, ok := w.conn.(interface{ CloseWrite() error })
	if !ok || w.phase == ended || half.CloseWrite() != nil {
		return
	}
	w.conn.SetReadDeadline(time.Now().Add(lingerTime))
	io.CopyN(io.Discard, w.conn, lingerBytes)
}

const (
	lingerTime  = time.Second
	lingerBytes = 1 << 20
)

// end sends what is to be sent and closes the connection for good.
func (w *wire) end() {
	w.flush()
	w.phase = ended
	w.conn.Close()
}

// flush sends what is settled.
func (w *wire) flush() {
	if len(w.out) == 0 || w.phase == ended {
		return
	}
	w.conn.SetWriteDeadline(time.Now().Add(w.limits.stall))
	if _, err := w.conn.Write(w.out); err != nil {
		w.phase = ended
		w.conn.Close()
	}
	w.out = w.out[:0]
}
