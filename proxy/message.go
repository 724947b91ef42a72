package proxy

import (
	"errors"
	"io"
	"os"
	"slices"
	"time"

	"sendguard/policy"
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
	*session
	body    *bodyReader
	piece   []byte // of the message, taken from the wire and not yet sent
	last    bool   // the message ends with it
	inPiece int    // so many bytes of the piece belong to the header
	memory  share  // for header and head
	head    []byte // of the body, where the policy wants it
	headCut bool   // the body goes on behind it
	verdict *policy.Verdict
	parts   *policy.AttendeesScanner // where addresses were taken out of the header
	outcome outcome

	scanner     *policy.BodyScanner // where the body may still decide
	scannerHeld int                 // of the memory, for the scanner
}

// Data is called after DATA, which the upstream has not been sent yet: whether
// it will be depends on the header. The library's reader is not used, the wire
// gives the body.
func (s *session) Data(io.Reader) error {
	body := newBodyReader(s.w, s.buffers, s.policy.BareNewline == policy.NormalizeBare)
	if body == nil {
		s.fault(faultBuffersFull)
		s.w.refuseBody()
		return s.answer(ownReply(replyBuffersFull))
	}
	defer body.release()
	s.event.logged = true // by record
	start := time.Now()
	s.w.takeBody()
	m := &passage{session: s, body: body, memory: share{of: s.buffers}, outcome: outcomeUpstreamFailed}
	defer func() { // also after a panic, which the library makes a 421
		m.memory.giveBack()
		m.record(time.Since(start))
	}()
	r := m.pass()
	if m.outcome == outcomeAccepted {
		s.w.errors = 0
	}
	return s.answer(r)
}

// pass takes the message to its end, whatever becomes of it, and returns what
// the client is told there.
func (m *passage) pass() reply {
	header, err := m.readHeader()
	if err == nil {
		header, err = m.readHead(header)
	}
	switch {
	case errors.Is(err, errHeaderTooLarge):
		return m.overLimit(faultHeaderTooLarge, ownReply(replyHeaderTooLarge, m.limits.HeaderBytes))
	case errors.Is(err, errHeaderLine):
		return m.overLimit(faultHeaderLineTooLong, ownReply(replyHeaderLine, m.limits.LineBytes))
	case errors.Is(err, errBuffersFull):
		return m.overLimit(faultBuffersFull, ownReply(replyBuffersFull))
	case err != nil:
		return m.brokeOff(err)
	}
	if !m.decide(header) {
		return m.overLimit(faultBuffersFull, ownReply(replyBuffersFull))
	}
	if m.verdict.Refused() {
		return m.finish(outcomeRefusedByPolicy, policyReply(m.verdict))
	}
	if r, stop := m.check(m.piece[m.inPiece:]); stop {
		return r
	}
	switch {
	case m.verdict.HasCopies() && len(m.rcpts) > 1:
		return m.sendCopies(header)
	case m.verdict.AwaitsBody() && !m.last:
		return m.sendHeld(header)
	}
	return m.send(header)
}

// next takes the next piece of the message from the client.
func (m *passage) next() (err error) {
	m.piece, m.last, err = m.body.next()
	return err
}

// decideFactor is how much memory a decision may take, as a multiple of the
// header: for its fields, its addresses and what is decoded of it.
const decideFactor = 16

// decide has the policy look at the header, without its dot-stuffing. It
// reports false where there is no memory to do so.
func (m *passage) decide(header []byte) bool {
	memory := decideFactor * len(header)
	if !m.buffers.take(memory) {
		return false
	}
	defer m.buffers.give(memory)
	plain := unstuff(header)
	start := time.Now()
	v := m.policy.Decide(policy.Message{Header: plain, Sender: m.sender, Recipients: paths(m.rcpts), Route: m.Name, User: m.auth.user,
		Body: unstuff(m.head), BodyCut: m.headCut})
	if m.body.bare && !v.Refused() {
		v = v.RefusedFor(policy.ReasonBareNewline)
	}
	if (v.Action == policy.Bcc || v.Action == policy.Individual) && m.head != nil {
		m.parts = &policy.AttendeesScanner{}
	}
	m.verdict = &v
	m.metrics.decided(time.Since(start))
	m.startInspection(plain)
	return true
}

// openData has the upstream take a message, or returns what the client is told.
func (m *passage) openData() (r reply, ok bool) {
	r, err := m.ask("data", []byte("DATA\r\n"))
	switch {
	case err != nil:
		return m.upstreamLost(err), false
	case r.code >= 400:
		if r.code == 421 {
			m.hangUp()
		}
		return m.finish(outcomeRefusedByUpstream, r), false
	case r.code != 354 || m.up.inStep() != nil:
		return m.upstreamLost(errProtocol), false
	}
	m.dataOpen = true
	return r, true
}

// send opens DATA upstream and has the message follow, as the client sends it,
// with the header that the policy returned.
func (m *passage) send(header []byte) reply {
	if r, ok := m.openData(); !ok {
		return r
	}
	switch {
	case m.verdict.Rewritten:
		m.piece = append(m.rewritten(), m.piece[m.inPiece+len(m.head):]...)
	case m.inPiece < len(header):
		m.piece = append(header, m.piece[m.inPiece:]...)
	}
	for {
		if m.last {
			m.piece = append(m.piece, finalDot...) // the client's own has come
		}
		if err := m.up.writeMessage(m.piece); err != nil {
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

// rewritten is the begin of the message as it goes on: its header, and as much
// of its body as the policy has looked at.
func (m *passage) rewritten() []byte {
	header, head := m.verdict.Header, m.verdict.Body
	if m.verdict.HasCopies() { // one, for the only recipient
		header, head = m.verdict.CopyFor(m.rcpts[0].path)
	}
	return stuff(slices.Concat(header, head))
}

func paths(rcpts []recipient) []string {
	all := make([]string, len(rcpts))
	for i, r := range rcpts {
		all[i] = r.path
	}
	return all
}

// check stops a message for what the next piece of its body shows. Part of it
// may have gone upstream: there it is never finished.
func (m *passage) check(body []byte) (r reply, stop bool) {
	limit := m.limits.MessageBytes
	switch {
	case m.body.bare:
		return m.refuseBody(policy.ReasonBareNewline), true
	case m.parts != nil && m.parts.Found(body):
		return m.refuseBody(policy.ReasonAttendees), true
	case limit > 0 && m.body.size > limit:
		m.breakOff()
		return m.overLimit(faultMessageTooLarge, ownReply(replyTooLarge, limit)), true
	}
	return m.inspect(body)
}

// refuseBody stops a message by the policy when it has begun to go upstream.
func (m *passage) refuseBody(reason policy.Reason) reply {
	v := m.verdict.RefusedFor(reason)
	m.verdict = &v
	m.breakOff()
	return m.finish(outcomeRefusedByPolicy, policyReply(m.verdict))
}

// breakOff has the upstream not take for finished what it has of the message.
func (m *passage) breakOff() {
	if m.dataOpen {
		m.hangUp()
	}
}

// lastReply waits for what the upstream says to the whole message. From here
// on only it knows whether the message was taken (RFC 1047).
func (m *passage) lastReply() reply {
	m.dataOpen = false
	r, err := m.up.messageReply()
	m.trace("upstream", "command", "message", "reply", r.code)
	if err != nil {
		m.outcome = outcomeUpstreamFailed
		return m.lost(err, replyUnknown)
	}
	m.w.setInside(false)
	if r.code == 421 {
		m.hangUp()
	}
	m.outcome = outcomeAccepted
	if !r.ok() {
		m.outcome = outcomeRefusedByUpstream
	}
	return r
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

// overLimit stops a message that is over a limit of the server.
func (m *passage) overLimit(f fault, r reply) reply {
	m.fault(f)
	return m.finish(outcomeClientFailed, r)
}

// upstreamLost stops a message that cannot be sent on.
func (m *passage) upstreamLost(err error) reply {
	o := outcomeUpstreamFailed
	if errors.As(err, new(*refusal)) {
		o = outcomeRefusedByUpstream
	}
	return m.finish(o, m.lost(err, replyLostInMessage))
}

// brokeOff ends the session: the client did not finish its message, and the
// upstream must not take it for finished.
func (m *passage) brokeOff(err error) reply {
	m.outcome = outcomeClientFailed
	m.hangUp()
	switch {
	case errors.Is(err, errLineEnds):
		m.w.endFor(replyLineEnds, faultLineEnds)
	case errors.Is(err, os.ErrDeadlineExceeded):
		m.w.endFor(replyStalled, faultClientTimeout)
	default:
		m.w.fail(faultClientGone)
	}
	return ownReply(replyStalled)
}

// record counts and logs a message that has come to its end.
func (m *passage) record(took time.Duration) {
	m.metrics.message(m, took)
	attrs := []any{"outcome", string(m.outcome), "size", m.body.size, "duration", took.Round(time.Microsecond)}
	if v := m.verdict; v != nil {
		attrs = append(attrs, "verdict", string(v.Action), "rule", v.Rule, "reason", string(v.Reason),
			"visible", v.Exposure.Visible, "internal", v.Exposure.Internal, "external", v.Exposure.External)
	}
	if m.scanner != nil {
		attrs = append(attrs, "in_body", m.scanner.Count())
	}
	if m.event.ref != "" {
		attrs = append(attrs, "ref", m.event.ref)
	}
	m.journal.Info("message", attrs...)
}
