package proxy

import (
	"bytes"
	"slices"

	"sendguard/proxy/wire"
)

// A message is held where only the whole of it can decide what goes on, or
// where it goes on more than once.

// hold takes the message to its end and sends it when the whole of it was judged:
// once, or a copy to each recipient.
func (m *passage) hold() reply {
	held := wire.NewSpool(m.session.route.limits.SpoolDir, m.session.server.buffers)
	defer held.Close()
	start := bytes.Clone(m.piece[:m.start]) // the piece that holds it is read over
	if !m.memory.Take(2 * len(start)) {
		return m.overLimit(errBuffersFull)
	}
	if r, stop := m.holdBody(held); stop {
		return r
	}
	if m.verdict.HasCopies() {
		return m.sendCopies(held)
	}
	if r, ok := m.openData(); !ok {
		return r
	}
	if v := m.verdict; v.Rewritten {
		start = wire.Stuff(slices.Concat(v.Header, v.Body))
	}
	if err := m.writeHeld(start, held); err != nil {
		return m.upstreamLost(err)
	}
	return m.lastReply()
}

// holdBody takes the message to its end, its final dot included: what came after
// the judge had decided to hold it. It may be stopped on the way.
func (m *passage) holdBody(held *wire.Spool) (r reply, stop bool) {
	for rest := m.piece[m.start:]; ; rest = m.piece {
		if _, err := held.Write(rest); err != nil {
			return m.notHeld(err), true
		}
		if m.last {
			break
		}
		if err := m.next(); err != nil {
			return m.brokeOff(err), true
		}
		if r, stop := m.check(m.piece); stop {
			return r, true
		}
		m.keepAwake()
	}
	if _, err := held.Write(wire.FinalDot); err != nil {
		return m.notHeld(err), true
	}
	return reply{}, false
}

// notHeld stops a message that there is no room for. That is neither the client's
// fault nor one of its limits.
func (m *passage) notHeld(err error) reply {
	return m.finish(outcomeUpstreamFailed, m.problem(err).reply)
}

// keepAwake asks something of an upstream that has a transaction open and hears
// nothing while a slow client sends: servers wait five minutes (RFC 5321 section
// 4.5.3.2.7), and a client may be silent for the stall limit, three of them. One
// that does not answer is left: its answer would come too late.
func (m *passage) keepAwake() {
	if m.session.up != nil && m.session.up.Quiet() > m.session.route.limits.Stall/3 && !m.session.up.Agrees("noop", "NOOP\r\n") {
		m.session.hangUp()
	}
}

// writeHeld sends a message that is held. The client's own final dot has come.
func (m *passage) writeHeld(start []byte, held *wire.Spool) error {
	if err := m.session.up.WriteMessage(start); err != nil {
		return err
	}
	return held.CopyTo(m.session.up.WriteMessage, m.body.Buffer())
}
