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

// settle decides what the client is told to its last command: the upstream's
// reply where the session has one and it agrees with what the library made of
// it, the library's own otherwise.
func (w *wire) settle() {
	if len(w.line) > 0 {
		w.replied()
		if w.line = w.line[:0]; cap(w.line) > 2*readSize {
			w.line = nil // a long one is rare
		}
	}
	said := w.slot
	if len(said) > 0 && len(w.instead) > 0 && (w.instead[0] >= '4') == (said[0] >= '4') {
		said = w.instead
	} else if bytes.HasPrefix(said, []byte("421")) { // the library's own: a panic
		said = w.refer(ownReply(replyInternal), "")
	}
	w.say(said)
	w.slot, w.instead = w.slot[:0], nil
}

// say sends a reply to the client. 421 ends the connection (RFC 5321 section
// 3.8), unless it will be said again at the next command.
func (w *wire) say(reply []byte) {
	if bytes.HasPrefix(reply, []byte("421")) && !bytes.Equal(reply, w.farewell.raw) {
		w.ending = true
	}
	if w.out = append(w.out, reply...); len(reply) > 0 {
		w.told(reply)
	}
}

// refuse answers a command that the library is not given.
func (w *wire) refuse(line string) {
	w.say(w.refer(newReply([]byte(line)), ""))
	w.errors++
}

// endFor tells the client why the connection ends, with a line of our own, and
// ends it.
func (w *wire) endFor(line string, f fault) { w.endWith(w.refer(newReply([]byte(line)), f)) }

// endWith tells the client the last reply and ends the connection.
func (w *wire) endWith(reply []byte) {
	w.say(reply)
	w.flush()
	w.linger()
	w.end()
}

// fail ends the connection without a word.
func (w *wire) fail(f fault) {
	w.onFault(f)
	w.end()
}

// linger reads for a moment what the client still sends: closing a socket with
// unread bytes would reset the connection, and the last reply could be lost.
func (w *wire) linger() {
	half, ok := w.conn.(interface{ CloseWrite() error })
	if !ok || w.ended || half.CloseWrite() != nil {
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
	w.ended = true
	w.conn.Close()
}

// flush sends what is settled.
func (w *wire) flush() {
	if len(w.out) == 0 || w.ended {
		return
	}
	w.conn.SetWriteDeadline(time.Now().Add(w.limits.Stall))
	if _, err := w.conn.Write(w.out); err != nil {
		w.ended = true
		w.conn.Close()
	}
	w.out = w.out[:0]
}
