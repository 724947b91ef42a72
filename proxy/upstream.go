package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// An upstream is a connection to the submission server. It knows the shape of
// replies, and of commands only what it has to: everything else is passed on.
type upstream struct {
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

var errProtocol = errors.New("not an SMTP reply")

// readReply reads one reply. One deadline holds for all its lines.
func (u *upstream) readReply(timeout time.Duration) (serverReply, error) {
	u.conn.SetReadDeadline(time.Now().Add(timeout))
	var r serverReply
	for {
		line, err := u.r.ReadSlice('\n')
		if err != nil {
			if errors.Is(err, bufio.ErrBufferFull) {
				err = errProtocol
			}
			return serverReply{}, err
		}
		line = bytes.TrimRight(line, "\r\n")
		code, more, ok := replyLine(line)
		if !ok || r.code != 0 && code != r.code || len(r.raw)+len(line) > maxReply {
			return serverReply{}, errProtocol
		}
		r.code = code
		r.raw = append(append(r.raw, visible(line)...), "\r\n"...)
		if !more {
			u.spoke = time.Now()
			u.refused = u.refused || r.code >= 400
			u.unproductive++
			return r, nil
		}
	}
}

// command sends a command line, CRLF included, and reads the reply. Where the
// upstream took leave before it was asked, the error is a *refusal with its words.
func (u *upstream) command(name string, line []byte) (serverReply, error) {
	return u.commandWithin(u.wait.Reply, name, line)
}

func (u *upstream) commandWithin(timeout time.Duration, name string, line []byte) (serverReply, error) {
	if u.unasked() != nil {
		return serverReply{}, u.leaveTaken(timeout, name)
	}
	if err := u.write(line); err != nil {
		return serverReply{}, u.lastWord(name, err)
	}
	r, err := u.readReply(timeout)
	if err != nil {
		return serverReply{}, err
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
func (u *upstream) note(name string, r serverReply) {
	u.replied(name, r.code)
	switch {
	case name == "mail" && r.ok():
		u.stage = begun
		u.transactions++
	case name == "data" && r.code == 354:
		u.stage = sending
	case (name == "rset" || name == "ehlo") && r.ok(): // RFC 5321 section 4.1.4
		u.stage = between
	}
}

// inTransaction reports whether a transaction is open; where there is no upstream,
// none is.
func (u *upstream) inTransaction() bool { return u != nil && u.stage != between }

// inMessage reports whether the upstream waits for more of a message.
func (u *upstream) inMessage() bool { return u != nil && u.stage == sending }

// leaveTaken reads what the upstream said before it was asked. It is why the
// upstream hangs up, with 421 (RFC 5321 section 3.8) or, as some do, with
// another code that refuses. Anything else would be taken for the reply to the
// command, and put all further ones out of step.
func (u *upstream) leaveTaken(timeout time.Duration, name string) error {
	r, err := u.readReply(timeout)
	switch {
	case err != nil:
		return err
	case r.code < 400:
		return errProtocol
	}
	u.replied(name, r.code)
	return &refusal{serverReply: r}
}

// unasked returns an error where the upstream has said something that nobody
// asked for, or has gone. It looks into the buffers, TLS's included, and at the
// socket, and does not wait.
func (u *upstream) unasked() error {
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
		return errProtocol
	}
	return err
}

// writeMessage sends a piece of a message. What the upstream says before it has
// the final dot is no answer to the message, but may be why it is not taken.
func (u *upstream) writeMessage(b []byte) error {
	err := u.unasked()
	if err == nil {
		err = u.write(b)
	}
	if err != nil {
		err = u.lastWord("message", err)
	}
	return err
}

// messageReply reads the reply to a whole message.
func (u *upstream) messageReply() (serverReply, error) {
	u.stage = between // the final dot has gone, and only the upstream knows what comes of it (RFC 1047)
	r, err := u.readReply(u.wait.Reply)
	if err == nil && r.code < 400 && !r.ok() {
		err = errProtocol
	}
	if err != nil {
		return serverReply{}, err
	}
	u.replied("message", r.code)
	u.unproductive = 0
	return r, nil
}

// write sends bytes upstream, within the stall limit.
func (u *upstream) write(b []byte) error {
	u.conn.SetWriteDeadline(time.Now().Add(u.wait.Stall))
	_, err := u.conn.Write(b)
	return err
}

// lastWord reads why the upstream no longer takes what it is sent: many say it
// before they close, and it is the reply that the client should see.
func (u *upstream) lastWord(name string, writeErr error) error {
	r, err := u.readReply(lastWordTime)
	if err != nil || r.code < 400 {
		return writeErr
	}
	u.replied(name, r.code)
	return &refusal{serverReply: r}
}

const lastWordTime = 5 * time.Second

// close closes the connection: what it has of a message it must not take for
// finished.
func (u *upstream) close() { u.conn.Close() }

// offers are the keywords of the upstream's extensions, in upper case, with their
// parameters.
func (u *upstream) offers() map[string]string { return u.caps }

// quiet is how long ago the upstream said something.
func (u *upstream) quiet() time.Duration { return time.Since(u.spoke) }

// quit takes leave and closes. The client has had its 221.
func (u *upstream) quit() {
	u.conn.SetDeadline(time.Now().Add(quitTime))
	if _, err := u.conn.Write([]byte("QUIT\r\n")); err == nil {
		io.Copy(io.Discard, io.LimitReader(u.r, maxReplyLine))
	}
	u.conn.Close()
}

const quitTime = 2 * time.Second
