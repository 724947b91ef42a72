package proxy

import (
	"errors"

	"sendguard/proxy/unfinished"
	"sendguard/proxy/upstream"
	"sendguard/proxy/users"
	"sendguard/proxy/wire"
)

// Here, and nowhere else, an error becomes a reply.

// A problem is what an error comes to.
type problem struct {
	reply  reply  // what the client is told; without a code: it has gone
	fault  fault  // what is counted; "": nothing
	detail string // for the log: names no address of mail
}

// A circumstance is what a reply to an error depends on besides.
type circumstance struct {
	lost   string  // the line where a connection upstream failed
	host   string  // upstream
	limits *Limits // the server's
}

// clientProblems are those on the client's side of a connection.
var clientProblems = []struct {
	err   error
	line  string
	fault fault
}{
	{wire.ErrInternal, replyInternal, ""}, // it is counted where it is caught
	{wire.ErrTooManyErrors, replyTooManyErrors, faultTooManyErrors},
	{wire.ErrOutOfStep, replyOutOfStep, faultOutOfStep},
	{wire.ErrLineTooLong, replyLineTooLong, faultLineTooLong},
	{wire.ErrNoMemory, replyNoMemory, faultBuffersFull},
	{wire.ErrStopping, replyStopping, ""},
	{wire.ErrIdle, replyIdle, faultClientTimeout},
	{wire.ErrStalled, replyStalled, faultClientTimeout},
	{wire.ErrLineEnds, replyLineEnds, faultLineEnds},
	{errBuffersFull, replyBuffersFull, faultBuffersFull},
	{users.ErrTooManyChecks, replyAuthBusy, ""},
	{users.ErrNoUsers, replyAuthBusy, ""},
	{unfinished.ErrRunning, replyTwin, ""},
}

// problemOf says what an error comes to: in the upstream's own words where it has
// said some, otherwise in a line of our table.
func problemOf(err error, c circumstance) problem {
	for _, p := range clientProblems {
		if errors.Is(err, p.err) {
			return problem{reply: newReply([]byte(p.line)), fault: p.fault}
		}
	}
	var (
		state *stateError
		spool *wire.SpoolError
		dial  *upstream.DialError
		said  *upstream.Refusal
	)
	switch {
	case errors.Is(err, wire.ErrGone):
		return problem{fault: faultClientGone}
	case errors.Is(err, errHeaderTooLarge):
		return problem{reply: ownReply(replyHeaderTooLarge, c.limits.HeaderBytes), fault: faultHeaderTooLarge}
	case errors.Is(err, errHeaderLine):
		return problem{reply: ownReply(replyHeaderLine, c.limits.LineBytes), fault: faultHeaderLineTooLong}
	case errors.Is(err, errMessageTooLarge):
		return problem{reply: ownReply(replyTooLarge, c.limits.MessageBytes), fault: faultMessageTooLarge}
	case errors.As(err, &state):
		return problem{ownReply(replyState), faultState, state.Error()}
	case errors.As(err, &said):
		return problem{reply: theirs(said.Reply)}
	case upstream.OutOfDescriptors(err), errors.Is(err, upstream.ErrNoDescriptors):
		return problem{reply: ownReply(replyNoDescriptors), fault: faultDescriptors}
	case errors.As(err, &spool):
		return problem{ownReply(replySpool), faultSpool, spool.What + Reason(spool.Unwrap())}
	case errors.As(err, &dial):
		return problem{ownReply(dialLine(dial.Kind), c.host, dial.Words()), fault(dial.Kind), dial.Error()}
	}
	kind, text := upstream.Trouble(err)
	return problem{ownReply(c.lost, c.host, text), fault(kind), text}
}

// dialLine is what the client is told where there is no connection.
func dialLine(k upstream.Kind) string {
	switch k {
	case upstream.KindLogin:
		return replyNotLoggedIn
	case upstream.KindToken:
		return replyNoToken
	}
	return replyUnreachable
}
