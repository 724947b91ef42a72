package proxy

import (
	"errors"
	"io"
	"slices"
	"time"

	"sendguard/policy"
	"sendguard/proxy/upstream"
	"sendguard/proxy/wire"
)

// An outcome is how the passage of a message ended.
type outcome string

const (
	outcomeAccepted          outcome = "accepted"
	outcomeRefusedByPolicy   outcome = "refused_by_policy"
	outcomeRefusedByUpstream outcome = "refused_by_upstream"
	outcomeUpstreamFailed    outcome = "upstream_failed"
	outcomeClientFailed      outcome = "client_failed" // it went away, or went over a limit of the server
)

var outcomes = []outcome{outcomeAccepted, outcomeRefusedByPolicy, outcomeRefusedByUpstream, outcomeUpstreamFailed, outcomeClientFailed}

// A passage is the way of one message from the wire to the upstream.
type passage struct {
	session *session
	body    *wire.Message
	piece   []byte      // of the message, taken from the wire and not yet sent
	last    bool        // the message ends with it
	stuffed bool        // it has dot-stuffing
	start   int         // so many bytes of the piece came before the verdict: the header, and what else the judge wanted
	memory  *wire.Share // for the header, what is judged, and the judge
	outcome outcome

	judge   *policy.Judge
	wants   policy.Next
	dots    wire.Unstuffer  // of the body that the judge is fed with
	charged int             // of the memory, for the judge
	took    time.Duration   // the judge, until its verdict
	verdict *policy.Verdict // nil: none yet
}

// Data is called after DATA, which the upstream has not been sent yet: whether
// it will be depends on the header. The library's reader is not used, the wire
// gives the body.
func (s *session) Data(io.Reader) error {
	body := s.w.TakeMessage(s.policy.BareNewline == policy.NormalizeBare)
	if body == nil {
		return s.unable(errBuffersFull)
	}
	defer body.Release()
	s.event.logged = true // by record
	start := time.Now()
	m := &passage{session: s, body: body, memory: wire.NewShare(s.server.buffers), outcome: outcomeUpstreamFailed}
	m.judge = s.policy.NewJudge(policy.Envelope{Sender: s.sender, Recipients: paths(s.rcpts), Route: s.route.config.Name, User: s.auth.user, Take: m.memory.Take})
	defer func() { // also after a panic, which the library makes a 421
		m.judge.Close()
		m.memory.GiveBack()
		m.record(time.Since(start))
	}()
	r := m.pass()
	if m.outcome == outcomeAccepted {
		s.w.Forgive()
	}
	return s.answer(r)
}

// pass takes the message to its end, whatever becomes of it, and returns what
// the client is told there.
func (m *passage) pass() reply {
	header, err := m.readHeader()
	if err == nil {
		err = m.decide(header)
	}
	switch {
	case errors.Is(err, wire.ErrGone), errors.Is(err, wire.ErrStalled), errors.Is(err, wire.ErrLineEnds):
		return m.brokeOff(err)
	case err != nil:
		return m.overLimit(err)
	}
	if m.wants == policy.Refuse {
		return m.finish(outcomeRefusedByPolicy, policyReply(m.verdict))
	}
	if r, stop := m.check(m.piece[m.start:]); stop {
		return r
	}
	if m.wants == policy.Hold {
		return m.hold()
	}
	return m.send()
}

// next takes the next piece of the message from the client.
func (m *passage) next() (err error) {
	dots := m.body.Dots()
	m.piece, m.last, err = m.body.Next()
	m.stuffed = m.body.Dots() > dots
	return err
}

// openData has the upstream take a message, or returns what the client is told.
func (m *passage) openData() (r reply, ok bool) {
	r, err := m.session.ask("data", []byte("DATA\r\n"))
	switch {
	case err != nil:
		return m.upstreamLost(err), false
	case r.Code >= 400:
		if r.Code == 421 {
			m.session.hangUp()
		}
		return m.finish(outcomeRefusedByUpstream, r), false
	case r.Code != 354:
		return m.upstreamLost(upstream.ErrProtocol), false
	}
	if err := m.session.up.InStep(); err != nil {
		return m.upstreamLost(err), false
	}
	return r, true
}

// send opens DATA upstream and has the message follow, as the client sends it,
// with what the verdict has in place of its start.
func (m *passage) send() reply {
	if r, ok := m.openData(); !ok {
		return r
	}
	if v := m.verdict; v.Rewritten {
		m.piece = append(wire.Stuff(slices.Concat(v.Header, v.Body)), m.piece[m.start:]...)
	}
	for {
		if m.last {
			m.piece = append(m.piece, wire.FinalDot...) // the client's own has come
		}
		if err := m.session.up.WriteMessage(m.piece); err != nil {
			return m.upstreamLost(err)
		}
		if m.last {
			return m.lastReply()
		}
		if err := m.next(); err != nil {
			return m.brokeOff(err)
		}
		if r, stop := m.check(m.piece); stop {
			return r
		}
	}
}

func paths(rcpts []recipient) []string {
	all := make([]string, len(rcpts))
	for i, r := range rcpts {
		all[i] = r.path
	}
	return all
}

// breakOff has the upstream not take for finished what it has of the message.
func (m *passage) breakOff() {
	if m.session.up.InMessage() {
		m.session.hangUp()
	}
}

// lastReply waits for what the upstream says to the whole message. From here
// on only it knows whether the message was taken (RFC 1047).
func (m *passage) lastReply() reply {
	r, err := m.session.up.MessageReply()
	m.session.trace("upstream", "command", "message", "reply", r.Code)
	if err != nil {
		m.outcome = outcomeUpstreamFailed
		return m.session.lost(err, replyUnknown)
	}
	if r.Code == 421 {
		m.session.hangUp()
	}
	m.outcome = outcomeAccepted
	if !r.OK() {
		m.outcome = outcomeRefusedByUpstream
		m.session.logAdvice(r)
	}
	return theirs(r)
}

// finish reads what is left of the message, for the client is to be told r at
// its end and not before.
func (m *passage) finish(o outcome, r reply) reply {
	for !m.last {
		if err := m.next(); err != nil {
			return m.brokeOff(err)
		}
	}
	m.outcome = o
	return r
}

// problem is what an error comes to for this message, counted and logged.
func (m *passage) problem(err error) problem {
	p := problemOf(err, circumstance{lost: replyLostInMessage, host: m.session.route.dialer.Host(), limits: m.session.route.limits})
	if p.fault != "" {
		m.session.faultDetail(p.fault, p.detail)
	}
	return p
}

// overLimit stops a message that is over a limit of the server.
func (m *passage) overLimit(err error) reply {
	return m.finish(outcomeClientFailed, m.problem(err).reply)
}

// upstreamLost stops a message that cannot be sent on.
func (m *passage) upstreamLost(err error) reply {
	o := outcomeUpstreamFailed
	if errors.As(err, new(*upstream.Refusal)) {
		o = outcomeRefusedByUpstream
	}
	return m.finish(o, m.session.lost(err, replyLostInMessage))
}

// brokeOff ends the session: the client did not finish its message, and the
// upstream must not take it for finished.
func (m *passage) brokeOff(err error) reply {
	m.outcome = outcomeClientFailed
	m.session.hangUp()
	if p := problemOf(err, circumstance{}); p.reply.Code != 0 {
		m.session.w.EndWith(m.session.referAnew(p.reply, p.fault))
	} else {
		m.session.hangUpOn(p.fault)
	}
	return ownReply(replyStalled)
}

// record counts and logs a message that has come to its end.
func (m *passage) record(took time.Duration) {
	m.session.server.metrics.message(m.session.route.config.Name, m.outcome, m.body.Size(), took, m.verdict)
	attrs := []any{"outcome", string(m.outcome), "size", m.body.Size(), "duration", took.Round(time.Microsecond)}
	if v := m.verdict; v != nil {
		attrs = append(attrs, "verdict", string(v.Action), "rule", v.Rule, "reason", string(v.Reason),
			"visible", v.Exposure.Visible, "internal", v.Exposure.Internal, "external", v.Exposure.External)
	}
	if n, counted := m.judge.InBody(); counted {
		attrs = append(attrs, "in_body", n)
	}
	if c := m.judge.Containers(); c.Encrypted > 0 {
		attrs = append(attrs, "encrypted_members", c.Encrypted)
	}
	if m.session.event.ref != "" {
		attrs = append(attrs, "ref", m.session.event.ref)
	}
	m.session.journal.Info("message", attrs...)
}
