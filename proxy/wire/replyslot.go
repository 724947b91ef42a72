package wire

import (
	"bytes"
	"io"
	"time"
)

// Write holds what the library says until it is settled.
func (w *Wire) Write(b []byte) (int, error) {
	w.slot = append(w.slot, b...)
	return len(b), nil
}

// Settle decides what the client is told to its last command: the session's
// answer where there is one and it agrees with what the library made of the
// command, the library's own otherwise.
func (w *Wire) Settle() {
	if len(w.line) > 0 {
		w.session.Replied(w.slot, len(w.instead) > 0)
		if w.line = w.line[:0]; cap(w.line) > 2*readSize {
			w.line = nil // a long one is rare
		}
	}
	said := w.slot
	if len(said) > 0 && len(w.instead) > 0 && (w.instead[0] >= '4') == (said[0] >= '4') {
		said = w.instead
	} else if bytes.HasPrefix(said, []byte("421")) { // the library's own: a panic
		said = w.session.Why(ErrInternal)
	}
	w.Say(said)
	w.slot, w.instead = w.slot[:0], nil
}

// SettleEarly settles what the library has said and would only send with what it
// says next; where it has said nothing, it may still have to.
func (w *Wire) SettleEarly() {
	if len(w.slot) > 0 {
		w.Settle()
	}
}

// Answer has the client told a reply instead of what the library says to its last
// command, if both refuse or neither does.
func (w *Wire) Answer(reply []byte) { w.instead = reply }

// Say sends a reply to the client at the next flush.
func (w *Wire) Say(reply []byte) {
	if len(reply) == 0 {
		return
	}
	if w.out = append(w.out, reply...); w.session.Told(reply) && w.phase != ended {
		w.phase = ending
	}
}

// Refuse answers a command that the library is not given.
func (w *Wire) Refuse(reply []byte) {
	w.Say(reply)
	w.Wrong()
}

// endFor tells the client why the connection ends, and ends it.
func (w *Wire) endFor(reason error) { w.EndWith(w.session.Why(reason)) }

// EndWith tells the client the last reply and ends the connection.
func (w *Wire) EndWith(reply []byte) {
	w.Say(reply)
	w.Flush()
	w.Linger()
	w.End()
}

// Linger reads for a moment what the client still sends: closing a socket with
// unread bytes would reset the connection, and the last reply could be lost.
func (w *Wire) Linger() {
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

// End sends what is to be sent and closes the connection for good.
func (w *Wire) End() {
	w.Flush()
	w.phase = ended
	w.conn.Close()
}

// Flush sends what is settled.
func (w *Wire) Flush() {
	if len(w.out) == 0 || w.phase == ended {
		return
	}
	w.conn.SetWriteDeadline(time.Now().Add(w.limits.Stall))
	if _, err := w.conn.Write(w.out); err != nil {
		w.phase = ended
		w.conn.Close()
	}
	w.out = w.out[:0]
}
