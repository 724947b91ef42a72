package proxy

import (
	"bytes"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"sendguard/policy"
	"sendguard/proxy/upstream"
	"sendguard/proxy/wire"
)

// A session is the conversation with one client and, on its behalf, with the
// upstream. The library checks each command and keeps the order of commands;
// the session sends the line that came to the upstream, as it came, and has
// the client told what the upstream said.
type session struct {
	server    *Server
	route     *route
	w         *wire.Wire
	client    net.Conn // its socket, for kill; below TLS where there is any
	encrypted bool     // TLS is on
	admitted  bool     // closed has to undo admit

	number      uint64
	journal     *slog.Logger // for the lines that are about this session
	shownClient string       // in them; "": not to be
	traced      bool         // the log has the conversation
	event       event        // the client's last command
	overflow    event        // that there are more recipients than may be
	mailBegun   bool         // it has said MAIL

	farewell   reply             // what the client is told at its next command, before the end
	helo       upstream.Greeting // the client's last one
	up         *upstream.Conn    // nil before EHLO, and once it is lost
	caps       map[string]string // what the client was announced, as upstream.Conn.Offers
	sender     string            // of the open transaction, as written between < and >
	mailLine   []byte            // its MAIL command
	rcpts      []recipient
	rcptBytes  int            // taken out of the budget for them
	policy     *policy.Policy // for it, in force at its MAIL
	timeBudget time.Duration  // for its copies, likewise
	auth       authState
	whenTold   func() // what is left to do when the client has had the reply to its message
	countedAs  string // among the connections per client

	mu     sync.Mutex
	sock   net.Conn // to the upstream, for kill
	killed bool
}

// newSession is called at the client's EHLO or HELO until one was taken. Where
// there is no way upstream, the client hears why at its next command, too: many
// try HELO after a refused EHLO, and show the reply to that.
func (s *session) newSession(*smtp.Conn) (smtp.Session, error) {
	if s.w.IsOver() || s.caps != nil {
		return nil, wire.ErrEnded
	}
	s.helo = greetingOf(verbOf(s.w.Line()), s.w.Line())
	if err := s.connect(); err != nil {
		r := s.refer(problemOf(err, circumstance{lost: replyLost, host: s.route.dialer.Host()}).reply)
		if refusesGreeting(err) {
			s.w.Wrong()
		} else {
			s.farewell = r
		}
		return nil, s.answer(r)
	}
	s.caps = s.up.Offers()
	return s, nil
}

// Mail relays MAIL.
func (s *session) Mail(string, *smtp.MailOptions) error {
	s.mailBegun = true
	if s.mustLogIn() {
		return s.wrong(replyAuthRequired)
	}
	if limit := s.route.limits.MessageBytes; limit > 0 && sizeOf(s.w.Line()) > limit {
		return s.answer(ownReply(replyTooLarge, limit))
	}
	if len(s.w.Line()) > maxEnvelopeLine {
		return s.answer(ownReply(replyLineTooLong))
	}
	err := s.pass(s.beginTransaction())
	if err == nil {
		s.forgetRecipients()
		s.sender, s.mailLine = pathOf(s.w.Line()), bytes.Clone(s.w.Line())
		now := s.server.inForce.Load()
		s.policy, s.timeBudget = now.policy, now.limits.TimeBudget
	}
	return err
}

// Rcpt relays RCPT.
func (s *session) Rcpt(string, *smtp.RcptOptions) error {
	switch {
	case len(s.rcpts) >= s.route.limits.Recipients:
		return s.refuseRecipient()
	case len(s.w.Line()) > maxEnvelopeLine:
		return s.answer(ownReply(replyLineTooLong))
	}
	memory := 2 * len(s.w.Line()) // the line and what is taken out of it
	if !s.server.buffers.Take(memory) {
		return s.unable(errBuffersFull)
	}
	err := s.relay("rcpt")
	if err != nil {
		s.server.buffers.Give(memory)
		return err
	}
	s.rcptBytes += memory
	s.rcpts = append(s.rcpts, recipient{pathOf(s.w.Line()), bytes.Clone(s.w.Line())})
	return nil
}

// forgetRecipients is for the end of a transaction.
func (s *session) forgetRecipients() {
	s.server.buffers.Give(s.rcptBytes)
	s.rcpts, s.rcptBytes, s.overflow = nil, 0, event{}
}

// maxEnvelopeLine bounds the commands that are kept: MAIL and RCPT with all
// their parameters have well under 2,000 bytes (RFC 5321 section 4.5.3.1.4, and
// what RFC 3461 section 4 and others add to it).
const maxEnvelopeLine = 4096

// relay sends the client's command line upstream and has the client told the
// upstream's reply.
func (s *session) relay(name string) error { return s.pass(s.ask(name, s.w.Line())) }

// pass has the client told what came of a command line that was sent on.
func (s *session) pass(r reply, err error) error {
	if err == nil && r.Code >= 300 && r.Code < 400 {
		err = upstream.ErrProtocol
	}
	if err != nil {
		return s.answer(s.lost(err, replyLost))
	}
	return s.answer(r)
}

// ask sends a command upstream and reads the reply. What the client has not
// been told yet it is told before the wait.
func (s *session) ask(name string, line []byte) (reply, error) {
	if s.up == nil {
		return reply{}, net.ErrClosed
	}
	s.w.Flush()
	r, err := s.up.Command(name, line)
	s.trace("upstream", "command", name, "reply", r.Code)
	s.logAdvice(r)
	return theirs(r), err
}

// answer has the client told a reply, and tells the library.
func (s *session) answer(r reply) error {
	r = s.refer(r)
	s.w.Answer(r.Raw)
	return r.smtpError()
}

// wrong is answer for what a client gets wrong, of which there may not be too much.
func (s *session) wrong(line string) error {
	s.w.Wrong()
	return s.answer(newReply([]byte(line)))
}

// refuse answers a command that the library is not given.
func (s *session) refuse(line string) { s.w.Refuse(s.referAnew(newReply([]byte(line)), "")) }

// endFor tells the client why the connection ends, with a line of our own, and ends
// it.
func (s *session) endFor(line string, f fault) { s.w.EndWith(s.referAnew(newReply([]byte(line)), f)) }

// hangUpOn ends the connection to the client without a word.
func (s *session) hangUpOn(f fault) {
	s.fault(f)
	s.w.End()
}

// Why says what the client is told of the reason why its connection ends.
func (s *session) Why(reason error) []byte {
	p := problemOf(reason, circumstance{})
	return s.referAnew(p.reply, p.fault)
}

// Told traces what the client is told. 421 ends the connection (RFC 5321 section
// 3.8), unless it will be said again at the next command.
func (s *session) Told(raw []byte) (ends bool) {
	if s.traced {
		s.trace("told", "reply", upstream.NewReply(bytes.TrimRight(raw, "\r\n")).Code, "bytes", len(raw))
	}
	return bytes.HasPrefix(raw, []byte("421")) && !bytes.Equal(raw, s.farewell.Raw)
}

// Busy reports whether a transaction is open upstream.
func (s *session) Busy() bool { return s.up.InTransaction() }

// lost ends the way upstream after an error and says what the client is told, with
// a line for where the connection failed.
func (s *session) lost(err error, line string) reply {
	p := problemOf(err, circumstance{lost: line, host: s.route.dialer.Host()})
	if s.up != nil && p.fault != "" {
		s.faultDetail(p.fault, p.detail)
	}
	s.hangUp()
	return p.reply
}

// unable has the client told, at a command, what an error of ours comes to.
func (s *session) unable(err error) error {
	p := problemOf(err, circumstance{})
	if p.fault != "" {
		s.faultDetail(p.fault, p.detail)
	}
	return s.answer(p.reply)
}

// hangUp closes the upstream socket. Where the client's login cannot be
// repeated, it is told at its next command.
func (s *session) hangUp() {
	if s.up != nil {
		s.up.Close()
		s.up = nil
	}
	if !s.renewable() {
		s.farewell = ownReply(replyReconnect)
	}
}

// Reset is called for RSET and another EHLO, which may have ended the transaction
// upstream already, and after each message, which may have been refused here.
func (s *session) Reset() {
	if then := s.whenTold; then != nil {
		s.whenTold = nil
		s.w.Settle()
		s.w.Flush()
		then()
	}
	s.forgetRecipients()
	if s.up.InMessage() {
		s.hangUp()
	}
	if !s.up.InTransaction() {
		return
	}
	s.w.SettleEarly() // the reply to a message need not wait
	s.event = event{} // the message has had its reply
	r, err := s.ask("rset", []byte("RSET\r\n"))
	if err == nil && !r.OK() {
		s.faultDetail(faultUpstreamClosed, "it refused RSET")
		err = upstream.Refused(r.Reply)
	}
	if err != nil {
		s.sayNext(s.lost(err, replyLost))
	}
}

// sayNext has the client told why there is no way upstream any more, at its next
// command, since it has asked for nothing. That command may be for a good
// message, so the reply is never one for good, whatever the upstream said: many
// servers end a session where too many messages came to nothing.
func (s *session) sayNext(r reply) {
	if s.renewable() {
		return
	}
	if r.Code != 421 {
		_, words := r.Enhanced()
		r = ownReply(replySessionEnded, words)
	}
	s.farewell = s.refer(r)
}

// Logout is called at QUIT and when the connection ends. The client is not
// kept waiting for the upstream to take leave.
func (s *session) Logout() error {
	s.forgetRecipients()
	s.w.Settle()
	s.w.Flush()
	switch {
	case s.up == nil:
	case s.up.InMessage():
		s.up.Close() // QUIT would be a part of the message
	default:
		s.giveBack(s.up)
	}
	s.up = nil
	return nil
}

// opened notes the upstream's socket for kill; nil: it is no longer ours.
func (s *session) opened(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sock = conn
	if s.killed && conn != nil {
		conn.Close()
	}
}

// kill ends both connections at once. It may be called from any goroutine.
func (s *session) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.killed = true
	s.client.Close()
	if s.sock != nil {
		s.sock.Close()
	}
}
