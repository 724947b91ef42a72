package proxy

import "sendguard/policy"

// inspect counts the addresses in the next piece of the body, where that may
// still decide about the message, and stops one that shows too many. What of it
// has gone upstream is never finished there. The rest is counted, too, so that
// the refusal names the number that an override must have.
func (m *passage) inspect(body []byte) (r reply, stop bool) {
	if m.scanner == nil {
		return reply{}, false
	}
	if !m.count(body) {
		return m.stopInspected(), true
	}
	if m.verdict.StopsAt(m.scanner.Count()) {
		m.breakOff()
		for !m.last {
			if err := m.next(); err != nil {
				return m.brokeOff(err), true
			}
			if !m.count(m.piece) {
				return m.stopInspected(), true
			}
		}
	}
	if !m.last {
		return reply{}, false
	}
	m.scanner.Close()
	v := m.verdict.WithBody(m.scanner.Count())
	m.verdict = &v
	if !v.Refused() {
		return reply{}, false
	}
	m.breakOff()
	return m.finish(outcomeRefusedByPolicy, policyReply(m.verdict)), true
}

// startInspection is called when the header has been decided about.
func (m *passage) startInspection(header []byte) {
	if m.verdict.InspectsBody() {
		m.scanner = policy.NewBodyScanner(header, m.sender, true)
	}
}

// count counts the addresses in a piece. It reports false where there is no
// memory to do so.
func (m *passage) count(piece []byte) bool {
	m.scanner.Write(piece)
	more := m.scanner.Memory() - m.scannerHeld
	if more <= 0 {
		return true
	}
	m.scannerHeld += more
	return m.memory.take(more)
}

// stopInspected stops a message that cannot be counted.
func (m *passage) stopInspected() reply {
	m.breakOff()
	return m.overLimit(faultBuffersFull, ownReply(replyBuffersFull))
}
