package proxy

import (
	"bytes"
	"time"

	"sendguard/policy"
	"sendguard/proxy/wire"
)

// The judge sees a message without its dot-stuffing, and nothing here knows what
// it asks.

// decideFactor is how much memory a decision may take, as a multiple of the
// header: for its fields, its addresses and what is decoded of it.
const decideFactor = 16

// decide has the judge look at the header, and at as much of the body as it wants
// before anything goes on. All that is then at the start of m.piece.
func (m *passage) decide(header []byte) error {
	memory := decideFactor * len(header)
	if err := m.deciding(memory, func() policy.Next { return m.judge.Header((&wire.Unstuffer{}).Unstuff(header, m.body.Dots() > 0)) }); err != nil {
		return err
	}
	if m.wants == policy.More {
		if err := m.readStart(memory); err != nil {
			return err
		}
	}
	m.session.server.metrics.decided(m.took)
	v := m.judge.Verdict()
	m.verdict = &v
	return nil
}

// readStart feeds the judge until it has decided.
func (m *passage) readStart(memory int) error {
	all, came := m.piece, m.piece[m.start:]
	for isFirst := true; ; isFirst = false {
		if !m.memory.Take(len(came)) { // the judge may hold it, too
			return errBuffersFull
		}
		if err := m.deciding(memory, func() policy.Next { return m.judgeStart(came) }); err != nil {
			return err
		}
		if m.wants != policy.More {
			m.piece, m.start = all, len(all)
			return nil
		}
		if isFirst { // it is read over
			if !m.memory.Take(2 * len(all)) {
				return errBuffersFull
			}
			all = bytes.Clone(all)
		}
		if err := m.next(); err != nil {
			return err
		}
		if !m.memory.Take(2 * len(m.piece)) {
			return errBuffersFull
		}
		all, came = append(all, m.piece...), m.piece
	}
}

// judgeStart feeds the judge with a piece before anything is decided.
func (m *passage) judgeStart(piece []byte) policy.Next {
	if m.body.Bare() {
		m.judge.Bare()
	}
	if m.judge.Body(m.dots.Unstuff(piece, m.stuffed)) == policy.More && m.last {
		m.judge.End()
	}
	return m.judge.Next()
}

// deciding has the judge do something that may take so much memory.
func (m *passage) deciding(memory int, do func() policy.Next) error {
	if !m.session.server.buffers.Take(memory) {
		return errBuffersFull
	}
	defer m.session.server.buffers.Give(memory)
	start := time.Now()
	m.wants = do()
	m.took += time.Since(start)
	return nil
}

// check stops a message for what the next piece of its body shows. Part of it
// may have gone upstream: there it is never finished.
func (m *passage) check(body []byte) (r reply, stop bool) {
	if !m.feed(body) {
		return m.starved(), true
	}
	limit := m.session.route.limits.MessageBytes
	switch {
	case m.wants == policy.Refuse:
		return m.refuse(m.judge.Verdict()), true
	case limit > 0 && m.body.Size() > limit:
		m.breakOff()
		return m.overLimit(errMessageTooLarge), true
	case m.wants == policy.Doom:
		return m.doomed(), true
	case !m.last:
		return reply{}, false
	}
	v := m.judge.End()
	if m.verdict = &v; m.judge.Starved() {
		return m.starved(), true
	}
	if v.Refused() {
		return m.refuse(v), true
	}
	return reply{}, false
}

// starved stops a message that there is no memory to judge.
func (m *passage) starved() reply {
	m.breakOff()
	return m.overLimit(errBuffersFull)
}

// feed feeds the judge with a piece of the body, where it wants it. It reports
// false where there is no memory for what it holds.
func (m *passage) feed(body []byte) bool {
	if m.body.Bare() {
		m.wants = m.judge.Bare()
	}
	if m.wants == policy.Pass {
		return true
	}
	m.wants = m.judge.Body(m.dots.Unstuff(body, m.stuffed))
	if m.judge.Starved() {
		return false
	}
	more := m.judge.Memory() - m.charged
	if more <= 0 {
		return true
	}
	m.charged += more
	return m.memory.Take(more)
}

// refuse stops a message by the policy when it may have begun to go upstream.
func (m *passage) refuse(v policy.Verdict) reply {
	m.verdict = &v
	m.breakOff()
	return m.finish(outcomeRefusedByPolicy, policyReply(m.verdict))
}

// doomed stops a message that will be refused, and has the rest judged, so that the
// refusal names the number that an override must have.
func (m *passage) doomed() reply {
	m.breakOff()
	for !m.last && m.wants == policy.Doom {
		if err := m.next(); err != nil {
			return m.brokeOff(err)
		}
		if !m.feed(m.piece) {
			return m.starved()
		}
	}
	v := m.judge.End()
	if m.judge.Starved() {
		return m.starved()
	}
	return m.refuse(v)
}
