package proxy

import (
	"context"
	"errors"
	"net"
	"slices"
	"syscall"
	"time"

	"sendguard/policy"
	"sendguard/proxy/unfinished"
	"sendguard/proxy/upstream"
	"sendguard/proxy/wire"
)

// A run sends one copy of a message to each recipient, over the connection on
// which the client's own transaction was begun. What a copy needs was said by
// the client and goes upstream as it came: its MAIL line, and one RCPT line.
type run struct {
	session    *session
	passage    *passage
	recipients []recipient
	held       *wire.Spool // the body, behind what the verdict has of it
	send       *unfinished.Send
	begun      time.Time

	sent int              // recipients that have a copy, of this try or an earlier one
	left []upstream.Reply // why others have none
	over string           // why the run ended before all were tried
}

// A recipient is one RCPT command that the upstream accepted.
type recipient struct {
	path string // without angle brackets
	line []byte // the command
}

// key is what two commands for the same mailbox have in common.
func (r recipient) key() string { return policy.SameRecipient(r.path) }

// Results of a copy, for the metrics.
const (
	copyAccepted   = "accepted"
	copyRefused    = "refused"
	copyFailed     = "failed"     // no last word
	copyRemembered = "remembered" // accepted in an earlier try
)

var copyResults = []string{copyAccepted, copyRefused, copyFailed, copyRemembered}

// sendCopies sends the copies of a message that is held. The client is told how
// many recipients have one.
func (m *passage) sendCopies(held *wire.Spool) reply {
	if m.session.up == nil {
		if r, stop := m.reconnect(); stop {
			return r
		}
	}
	id := m.verdict.Identity
	recipients := distinct(m.session.rcpts)
	send, err := m.beginSend(unfinished.Message{Route: m.session.route.config.Name, Sender: m.session.sender, ID: id.MessageID, Subject: id.Subject, Content: id.Content}, keys(recipients))
	if err != nil {
		return m.finish(outcomeUpstreamFailed, m.problem(err).reply)
	}
	r := &run{session: m.session, passage: m, recipients: recipients, held: held, send: send, begun: time.Now()}
	defer r.forget() // also after a panic
	r.sendAll()
	return r.result()
}

// reconnect gets the copies another way upstream, the first one having been lost.
func (m *passage) reconnect() (r reply, stop bool) {
	err := net.ErrClosed
	if m.session.renewable() {
		err = m.session.connectAnew()
	}
	if err != nil && !errors.Is(err, upstream.ErrNoDescriptors) {
		err = net.ErrClosed // why the first one was lost matters to the client, and was told of
	}
	switch {
	case err != nil:
		r = problemOf(err, circumstance{lost: replyLostInMessage, host: m.session.route.dialer.Host()}).reply
	case offersLess(m.session.up.Offers(), m.session.caps): // it would refuse what the client's commands have
		r = ownReply(replyOffersLess)
	default:
		return reply{}, false
	}
	return m.finish(outcomeUpstreamFailed, r), true
}

// beginSend begins a send, or takes up an unfinished one. All that are to be served
// are written down then: on an error nothing may be sent. It waits a moment for
// one that runs: it may have told its client, and be about to forget all.
func (m *passage) beginSend(message unfinished.Message, recipients []string) (*unfinished.Send, error) {
	for end := time.Now().Add(twinTime); ; {
		send, err := m.session.server.sends.Begin(m.session.server.ctx, message, recipients)
		if !errors.Is(err, unfinished.ErrRunning) {
			return send, noState(err)
		}
		if time.Now().After(end) {
			return nil, err
		}
		select {
		case <-m.session.server.ctx.Done():
			return nil, err
		case <-time.After(twinTime / 20):
		}
	}
}

const twinTime = time.Second

// distinct leaves out recipients that were named before.
func distinct(rcpts []recipient) (all []recipient) {
	seen := map[string]bool{}
	for _, r := range rcpts {
		if key := r.key(); !seen[key] {
			seen[key] = true
			all = append(all, r)
		}
	}
	return all
}

// keys are what their copies are remembered by.
func keys(recipients []recipient) (all []string) {
	for _, r := range recipients {
		all = append(all, r.key())
	}
	return all
}

// timeLeft is how long the run may go on: then the client would not wait any
// longer, or the server stops.
func (r *run) timeLeft() time.Duration {
	end := r.begun.Add(r.session.timeBudget)
	if stop := r.session.server.stopTime(); !stop.IsZero() && stop.Before(end) {
		end = stop
	}
	return time.Until(end)
}

func (r *run) sendAll() {
	tried := false // each try gets further by one copy at least
	for _, to := range r.recipients {
		if r.send.Has(to.key()) {
			r.count(copyRemembered)
			r.sent++
			continue
		}
		if r.over == "" && tried && r.timeLeft() <= 0 {
			r.over = "it takes too long"
		}
		if r.over == "" {
			r.sendCopy(to)
			tried = true
		}
	}
}

func (r *run) count(result string) {
	r.session.server.metrics.copied(r.session.route.config.Name, result)
}

// sendCopy sends the copy for one recipient and notes what became of it.
func (r *run) sendCopy(to recipient) {
	said, err := r.transact(to)
	switch {
	case err != nil:
		r.count(copyFailed)
		r.over = r.trouble(err)
		r.session.lost(err, replyLostInMessage)
		return
	case said.OK():
		r.count(copyAccepted)
		r.sent++
		r.remember(to)
		return
	}
	r.count(copyRefused)
	r.left = append(r.left, said)
	if said.Code == 421 {
		_, r.over = said.Enhanced()
		r.session.hangUp()
	}
}

// remember notes a copy that was accepted, for which beginSend has seen to the
// room. Where that fails all the same the run ends: what cannot be noted would be
// sent twice. Its own note is tried again at the end.
func (r *run) remember(to recipient) {
	err := r.send.Accepted(r.session.server.ctx, to.key())
	switch {
	case err == nil:
		return
	case errors.Is(err, unfinished.ErrRunning):
		r.over = "another sendguard has taken it up"
	default:
		r.over = "cannot note who has a copy"
	}
	r.session.faultDetail(faultState, stateFault(err))
}

// A stateError says that who gets a copy cannot be noted.
type stateError struct{ err error }

func (e *stateError) Error() string { return stateFault(e.err) }

func noState(err error) error {
	if err == nil {
		return nil
	}
	return &stateError{err}
}

// stateFault says what is wrong with the memory of sends, without the host or
// the path that the error may name.
func stateFault(err error) string {
	var errno syscall.Errno
	switch {
	case errors.Is(err, unfinished.ErrRunning):
		return "another replica has taken the send over"
	case errors.Is(err, unfinished.ErrFull):
		return unfinished.ErrFull.Error()
	case errors.As(err, &errno):
		return errno.Error()
	}
	return "it cannot be used"
}

// transact is one transaction (RFC 5321 section 3.3) with all commands in one
// flight. It returns the reply to the message, or the refusal before it.
func (r *run) transact(to recipient) (upstream.Reply, error) {
	flight := []upstream.Command{{Name: "mail", Line: r.session.mailLine}, {Name: "rcpt", Line: to.line}, {Name: "data", Line: []byte("DATA\r\n")}}
	if r.session.up.InTransaction() {
		flight = append([]upstream.Command{{Name: "rset", Line: []byte("RSET\r\n")}}, flight...)
	}
	said, err := r.session.up.Fly(flight, r.session.up.Pipelines(), r.patience())
	if err != nil || said.Code != 354 {
		return said, err
	}
	header, start := r.passage.verdict.CopyFor(to.path)
	if err := r.passage.writeHeld(wire.Stuff(slices.Concat(header, start)), r.held); err != nil {
		return upstream.Reply{}, err
	}
	last, err := r.session.up.MessageReply()
	r.session.trace("upstream", "command", "message", "reply", last.Code)
	return last, err
}

// patience is how long the upstream may think about the commands of a copy: it
// has nothing of the message yet, so nothing is lost if it does not answer.
func (r *run) patience() time.Duration {
	return min(max(r.timeLeft(), upstream.LastWordTime), r.session.route.limits.UpstreamReply)
}

// forget ends the memory of the send where every recipient has a copy, when the
// client has been told. Where it had left before that (or only closed its side,
// that looks alike), or the process is killed, it may try again: then the send is
// still known by its Message-ID.
func (r *run) forget() {
	if r.passage.outcome != outcomeAccepted {
		r.endSend(r.send.Leave)
		return
	}
	end := r.send.Finish
	if r.session.w.Gone() {
		end = r.send.FinishUnheard
	}
	r.session.whenTold = func() {
		if r.session.w.IsOver() {
			end = r.send.FinishUnheard
		}
		r.endSend(end)
	}
}

func (r *run) endSend(end func(context.Context) error) {
	if err := end(context.WithoutCancel(r.session.server.ctx)); err != nil {
		r.session.faultDetail(faultState, stateFault(err))
	}
}

// result is what the client is told.
func (r *run) result() reply {
	all, why := len(r.recipients), r.over
	if again := slices.IndexFunc(r.left, func(said upstream.Reply) bool { return said.Code < 500 }); why == "" && again >= 0 {
		_, why = r.left[again].Enhanced()
	}
	switch {
	case r.sent == all && r.over == "": // where the last copy was not noted, the send is unfinished
		return r.passage.finish(outcomeAccepted, ownReply(replyCopies, all))
	case why != "":
		return r.passage.finish(outcomeUpstreamFailed, ownReply(replySomeCopies, r.sent, all, why))
	}
	code, words := r.left[0].Enhanced()
	return r.passage.finish(outcomeRefusedByUpstream, ownReply(replyNoMoreCopies, code, r.sent, all, words))
}

// trouble is the upstream's last word, or what went wrong with it.
func (r *run) trouble(err error) string {
	if said := (*upstream.Refusal)(nil); errors.As(err, &said) {
		_, words := said.Enhanced()
		return words
	}
	host := r.session.route.dialer.Host()
	p := problemOf(err, circumstance{lost: replyLostInMessage, host: host})
	if p.fault == faultSpool {
		return p.detail
	}
	return "trouble with " + host + ": " + p.detail
}
