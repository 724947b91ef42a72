package policy

import (
	"sendguard/policy/body"
	"sendguard/policy/mail"
)

// startWalk begins a walk through the message for those that want to listen.
func (j *Judge) startWalk() {
	var listeners []mail.Listener
	rewrites := j.verdict.Action == Bcc || j.verdict.Action == Individual
	if rewrites && j.first != nil {
		j.invitation = &invitation{}
		listeners = append(listeners, j.invitation)
	}
	if j.left.limit != Unlimited || j.envelope.Measure && j.policy.InspectBody {
		j.counter = body.NewCounter(j.decision.inSight(), j.policy.isKnown, j.envelope.Take)
		listeners = append(listeners, j.counter)
	}
	if j.hasCopies() {
		j.print = newFingerprint(&j.header)
		listeners = append(listeners, j.print)
	}
	if len(listeners) > 0 {
		j.walk = mail.NewWalk(&j.header, listeners...)
		j.walk.Write(j.start)
	}
}

// listen has a piece of the body walked through. What is found first decides, but
// an invitation always does: nothing else says that it must not be rewritten.
func (j *Judge) listen(piece []byte) {
	if j.next == Refuse {
		j.measure(piece)
		return
	}
	n, bare := j.lines.bare(piece)
	j.walk.Write(piece[:n])
	j.heard(piece[n:], bare)
}

// heard decides by what was found in the body so far. bare says that a CR or LF
// stands alone at its end, before rest.
func (j *Judge) heard(rest []byte, bare bool) {
	if j.counter != nil && j.left.stopsAt(j.inBody(), j.counter.TooLarge(false)) {
		j.next = Doom
	}
	if j.next == Doom && len(rest) > 0 { // from here on it only counts
		j.walk.Write(rest)
		rest = nil
	}
	switch {
	case j.invitation != nil && j.invitation.found:
		j.refuse(ReasonAttendees)
	case bare && j.next != Doom:
		j.refuse(ReasonBareNewline)
	default:
		return
	}
	j.measure(rest)
}

// measure goes on counting in a message that is refused, where that is wanted.
func (j *Judge) measure(piece []byte) {
	if j.envelope.Measure && j.walk != nil {
		j.walk.Write(piece)
	}
}

// judgeBody decides when the whole body has shown n addresses. A body is never
// rewritten: where the action calls for that, the message is refused.
func (j *Judge) judgeBody(n int) {
	v, tooLarge := &j.verdict, j.counter.TooLarge(true)
	v.Exposure.Body, v.Exposure.Containers = n, j.counter.Containers()
	switch {
	case v.Refused():
		j.liftBoth(n, tooLarge)
	case j.left.exceededBy(n, tooLarge):
		v.overInBody(j.left.limit, tooLarge)
		if j.left.tagged && j.decision.overrideBody(v) {
			return
		}
		if j.left.action != Report {
			j.refuse(ReasonTooManyInBody)
			return
		}
		v.Action, v.Claimed = Report, -1
	case j.left.tagged && v.Claimed >= 0: // the tag is for neither header nor body
		j.refuse(v.Reason)
	}
}

// liftBoth lifts the limits of header and body where the number in the Subject is
// that of the body, and the larger one: who confirms that has read both.
func (j *Judge) liftBoth(n int, tooLarge bool) {
	lifted := j.verdict
	lifted.overInBody(j.left.limit, tooLarge)
	if j.left.tagged && j.left.exceededBy(n, tooLarge) && n > j.verdict.Count && j.decision.overrideBody(&lifted) {
		j.verdict = lifted
	} else {
		j.next = Refuse
	}
}

// InBody returns how many addresses the body has shown so far, where they are
// counted.
func (j *Judge) InBody() (n int, counted bool) {
	if j.counter == nil {
		return 0, false
	}
	return j.inBody(), true
}

// Containers returns what the containers in the body have shown so far.
func (j *Judge) Containers() Containers {
	if j.counter == nil {
		return Containers{}
	}
	return j.counter.Containers()
}

// Starved reports whether there was no memory for a container. No verdict holds then.
func (j *Judge) Starved() bool { return j.counter != nil && j.counter.Starved() }

func (j *Judge) inBody() int {
	if j.walk.Beyond() {
		return MaxInBody + 1
	}
	return j.counter.Count()
}

// Memory returns how many bytes are held at this moment, beside the header, the start
// of the body, and what was asked for.
func (j *Judge) Memory() int {
	if j.walk == nil || j.ended {
		return 0
	}
	n := j.walk.Memory()
	if j.counter != nil {
		n += j.counter.Memory()
	}
	return n
}
