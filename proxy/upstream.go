package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

// An upstream is a connection to the submission server. It knows the shape of
// replies, and of commands only what it has to: everything else is passed on.
type upstream struct {
	conn    net.Conn
	socket  net.Conn // beneath TLS
	r       *bufio.Reader
	limits  *Limits
	caps    map[string]string // by keyword in upper case: its parameters
	replied func(command string, code int)

	refused      bool   // something, at any time
	unproductive int    // commands since the last message that it took
	helo         string // what it was greeted with
	born, spoke  time.Time
	transactions int
	expiry       *time.Timer // while it is in a pool
}

// A reply is what the upstream said to one command: all its lines.
type reply struct {
	code int
	raw  []byte // with CRLF after each line
	own  bool   // it is ours, and without its reference yet
}

// text returns what a reply says, without the code, its lines parted by LF.
func (r reply) text() string {
	var lines []string
	for line := range strings.SplitSeq(strings.TrimSuffix(string(r.raw), "\r\n"), "\r\n") {
		lines = append(lines, line[min(4, len(line)):])
	}
	return strings.Join(lines, "\n")
}

func (r reply) ok() bool { return r.code >= 200 && r.code < 300 }

// Limits for what an upstream may say: RFC 5321 section 4.5.3.1.5 has 512
// bytes for a line.
const (
	maxReplyLine = 4096
	maxReply     = 64 << 10
)

var errProtocol = errors.New("not an SMTP reply")

// readReply reads one reply. One deadline holds for all its lines.
func (u *upstream) readReply(timeout time.Duration) (reply, error) {
	u.conn.SetReadDeadline(time.Now().Add(timeout))
	var r reply
	for {
		line, err := u.r.ReadSlice('\n')
		if err != nil {
			if errors.Is(err, bufio.ErrBufferFull) {
				err = errProtocol
			}
			return reply{}, err
		}
		line = bytes.TrimRight(line, "\r\n")
		code, more, ok := replyLine(line)
		if !ok || r.code != 0 && code != r.code || len(r.raw)+len(line) > maxReply {
			return reply{}, errProtocol
		}
		r.code = code
		r.raw = append(append(r.raw, visible(line)...), crlf...)
		if !more {
			u.spoke = time.Now()
			u.refused = u.refused || r.code >= 400
			u.unproductive++
			return r, nil
		}
	}
}

// replyLine takes the code of a reply line (RFC 5321 section 4.2) and says
// whether more lines follow.
func replyLine(line []byte) (code int, more, ok bool) {
	if len(line) < 3 || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
		return 0, false, false
	}
	for _, c := range line[:3] {
		if c < '0' || c > '9' {
			return 0, false, false
		}
		code = code*10 + int(c-'0')
	}
	return code, len(line) > 3 && line[3] == '-', code >= 200 && code < 600
}

// visible keeps control characters out of what a client shows.
func visible(line []byte) []byte {
	for i, c := range line {
		if c < ' ' && c != '\t' || c == 0x7f {
			line[i] = '?'
		}
	}
	return line
}

// command sends a command line, CRLF included, and reads the reply. Where the
// upstream took leave before it was asked, the error is a *refusal with its words.
func (u *upstream) command(name string, line []byte) (reply, error) {
	return u.commandWithin(u.limits.UpstreamReply, name, line)
}

func (u *upstream) commandWithin(timeout time.Duration, name string, line []byte) (reply, error) {
	if u.unasked() != nil {
		return reply{}, u.leaveTaken(timeout, name)
	}
	if err := u.write(line); err != nil {
		return reply{}, u.lastWord(name, err)
	}
	r, err := u.readReply(timeout)
	if err != nil {
		return reply{}, err
	}
	u.replied(name, r.code)
	return r, nil
}

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
	return &refusal{reply: r}
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
func (u *upstream) messageReply() (reply, error) {
	r, err := u.readReply(u.limits.UpstreamReply)
	if err == nil && r.code < 400 && !r.ok() {
		err = errProtocol
	}
	if err != nil {
		return reply{}, err
	}
	u.replied("message", r.code)
	u.unproductive = 0
	return r, nil
}

// write sends bytes upstream, within the stall limit.
func (u *upstream) write(b []byte) error {
	u.conn.SetWriteDeadline(time.Now().Add(u.limits.Stall))
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
	return &refusal{reply: r}
}

const lastWordTime = 5 * time.Second

// A refusal is an error that is the upstream's own reply.
type refusal struct {
	reply
	toGreeting bool // to EHLO or HELO: it may take another one
}

func (r *refusal) Error() string { return "refused by the upstream" }

// refused makes an error of a reply that should have been another one.
func refused(r reply) error {
	if r.code < 400 {
		return replyError(errProtocol)
	}
	return &refusal{reply: r}
}

// quit takes leave and closes. The client has had its 221.
func (u *upstream) quit() {
	u.conn.SetDeadline(time.Now().Add(quitTime))
	if _, err := u.conn.Write([]byte("QUIT\r\n")); err == nil {
		io.Copy(io.Discard, io.LimitReader(u.r, maxReplyLine))
	}
	u.conn.Close()
}

const quitTime = 2 * time.Second

// replyError turns what went wrong in reading a reply into a *dialError.
func replyError(err error) error {
	if r := (*refusal)(nil); errors.As(err, &r) {
		return r
	}
	f, text := upstreamFault(err)
	return &dialError{kind: f, text: text}
}

// upstreamFault says what went wrong on the way upstream.
func upstreamFault(err error) (fault, string) {
	switch {
	case errors.Is(err, errProtocol):
		return faultProtocol, "it does not speak SMTP"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return faultUpstreamTimeout, "no answer"
	case errors.Is(err, errSpool):
		return faultSpool, err.Error()
	}
	return faultUpstreamClosed, "connection lost"
}
