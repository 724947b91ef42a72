package upstream

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// A Conn is a connection to the submission server. It knows the shape of
// replies, and of commands only what it has to: everything else is passed on.
type Conn struct {
	conn    net.Conn
	socket  net.Conn // beneath TLS
	r       *bufio.Reader
	wait    Timeouts
	caps    map[string]string // by keyword in upper case: its parameters
	replied func(command string, code int)

	stage        stage  // of a transaction
	refused      bool   // something, at any time
	unproductive int    // commands since the last message that it took
	helo         string // what it was greeted with
	born, spoke  time.Time
	transactions int
	expiry       *time.Timer // while it is in a pool
}

// Limits for what an upstream may say: RFC 5321 section 4.5.3.1.5 has 512
// bytes for a line.
const (
	maxReplyLine = 4096
	maxReply     = 64 << 10
)

var ErrProtocol = errors.New("not an SMTP reply")

// readReply reads one reply. One deadline holds for all its lines.
func (u *Conn) readReply(timeout time.Duration) (Reply, error) {
	u.conn.SetReadDeadline(time.Now().Add(timeout))
	var r Reply
	for {
		line, err := u.r.ReadSlice('\n')
		if err != nil {
			if errors.Is(err, bufio.ErrBufferFull) {
				err = ErrProtocol
			}
			return Reply{}, err
		}
		line = bytes.TrimRight(line, "\r\n")
		code, more, ok := replyLine(line)
		if !ok || r.Code != 0 && code != r.Code || len(r.Raw)+len(line) > maxReply {
			return Reply{}, ErrProtocol
		}
		r.Code = code
		r.Raw = append(append(r.Raw, visible(line)...), "\r\n"...)
		if !more {
			u.spoke = time.Now()
			u.refused = u.refused || r.Code >= 400
			u.unproductive++
			return r, nil
		}
	}
}

// Command sends a command line, CRLF included, and reads the reply. Where the
// upstream took leave before it was asked, the error is a *Refusal with its words.
func (u *Conn) Command(name string, line []byte) (Reply, error) {
	return u.commandWithin(u.wait.Reply, name, line)
}

func (u *Conn) commandWithin(timeout time.Duration, name string, line []byte) (Reply, error) {
	if u.unasked() != nil {
		return Reply{}, u.leaveTaken(timeout, name)
	}
	if err := u.write(line); err != nil {
		return Reply{}, u.lastWord(name, err)
	}
	r, err := u.readReply(timeout)
	if err != nil {
		return Reply{}, err
	}
	u.note(name, r)
	return r, nil
}

// A stage is how far a transaction has come (RFC 5321 section 3.3). Whoever wants
// to know asks here, and nobody else keeps an account of it.
type stage int

const (
	between stage = iota // none is open
	begun                // MAIL was taken
	sending              // DATA was taken, and the message is not finished
)

// note counts a reply, and keeps up with the transaction by what the upstream says.
func (u *Conn) note(name string, r Reply) {
	u.replied(name, r.Code)
	switch {
	case name == "mail" && r.OK():
		u.stage = begun
		u.transactions++
	case name == "data" && r.Code == 354:
		u.stage = sending
	case (name == "rset" || name == "ehlo") && r.OK(): // RFC 5321 section 4.1.4
		u.stage = between
	}
}

// InTransaction reports whether a transaction is open; where there is no upstream,
// none is.
func (u *Conn) InTransaction() bool { return u != nil && u.stage != between }

// InMessage reports whether the upstream waits for more of a message.
func (u *Conn) InMessage() bool { return u != nil && u.stage == sending }

// leaveTaken reads what the upstream said before it was asked. It is why the
// upstream hangs up, with 421 (RFC 5321 section 3.8) or, as some do, with
// another code that refuses. Anything else would be taken for the reply to the
// command, and put all further ones out of step.
func (u *Conn) leaveTaken(timeout time.Duration, name string) error {
	r, err := u.readReply(timeout)
	switch {
	case err != nil:
		return err
	case r.Code < 400:
		return ErrProtocol
	}
	u.replied(name, r.Code)
	return &Refusal{Reply: r}
}

// unasked returns an error where the upstream has said something that nobody
// asked for, or has gone. It looks into the buffers, TLS's included, and at the
// socket, and does not wait.
func (u *Conn) unasked() error {
	u.conn.SetReadDeadline(time.Unix(1, 0))
	_, err := u.r.Peek(1)
	if errors.Is(err, os.ErrDeadlineExceeded) && !silent(u.socket) {
		u.conn.SetReadDeadline(time.Now().Add(time.Millisecond)) // it may be about TLS alone
		_, err = u.r.Peek(1)
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	case err == nil:
		return ErrProtocol
	}
	return err
}

// WriteMessage sends a piece of a message. What the upstream says before it has
// the final dot is no answer to the message, but may be why it is not taken.
func (u *Conn) WriteMessage(b []byte) error {
	err := u.unasked()
	if err == nil {
		err = u.write(b)
	}
	if err != nil {
		err = u.lastWord("message", err)
	}
	return err
}

// MessageReply reads the reply to a whole message.
func (u *Conn) MessageReply() (Reply, error) {
	u.stage = between // the final dot has gone, and only the upstream knows what comes of it (RFC 1047)
	r, err := u.readReply(u.wait.Reply)
	if err == nil && r.Code < 400 && !r.OK() {
		err = ErrProtocol
	}
	if err != nil {
		return Reply{}, err
	}
	u.replied("message", r.Code)
	u.unproductive = 0
	return r, nil
}

// write sends bytes upstream, within the stall limit.
func (u *Conn) write(b []byte) error {
	u.conn.SetWriteDeadline(time.Now().Add(u.wait.Stall))
	_, err := u.conn.Write(b)
	return err
}

// lastWord reads why the upstream no longer takes what it is sent: many say it
// before they close, and it is the reply that the client should see.
func (u *Conn) lastWord(name string, writeErr error) error {
	r, err := u.readReply(LastWordTime)
	if err != nil || r.Code < 400 {
		return writeErr
	}
	u.replied(name, r.Code)
	return &Refusal{Reply: r}
}

const LastWordTime = 5 * time.Second

// Socket is the socket of the connection, beneath TLS, for who has to close it from
// elsewhere.
func (u *Conn) Socket() net.Conn { return u.socket }

// Close closes the connection: what it has of a message it must not take for
// finished.
func (u *Conn) Close() { u.conn.Close() }

// Offers are the keywords of the upstream's extensions, in upper case, with their
// parameters.
func (u *Conn) Offers() map[string]string { return u.caps }

// Quiet is how long ago the upstream said something.
func (u *Conn) Quiet() time.Duration { return time.Since(u.spoke) }

// Quit takes leave and closes. The client has had its 221.
func (u *Conn) Quit() {
	u.conn.SetDeadline(time.Now().Add(quitTime))
	if _, err := u.conn.Write([]byte("QUIT\r\n")); err == nil {
		io.Copy(io.Discard, io.LimitReader(u.r, maxReplyLine))
	}
	u.conn.Close()
}

const quitTime = 2 * time.Second
