package proxy

import (
	"bytes"
	"errors"

	"sendguard/proxy/upstream"
)

// What a client says between messages: RSET and NOOP, by which it also asks
// whether there is still a server, VRFY, and another greeting.

// relayIdle answers NOOP and RSET by what the upstream says, whatever that is:
// a client that keeps its connection learns so that the server has gone, and
// takes another one for its next message. Where no login of the client's hangs
// on the connection upstream it can be replaced, and what comes outside of a
// transaction does not reach it: it may be another client's next.
func (s *session) relayIdle(verb string, line []byte) []byte {
	r := ownReply(replyOK)
	if s.up != nil && !s.mustLogIn() && (!s.renewable() || s.up.InTransaction()) {
		var err error
		if r, err = s.ask(metricName[verb], line); err == nil && r.Code < 400 && !r.OK() {
			err = upstream.ErrProtocol
		}
		if err != nil {
			r = s.lost(err, replyLost)
		}
	}
	if verb == "RSET" && r.OK() {
		s.w.Answer(r.Raw)
		return []byte(forLibrary[verb])
	}
	s.w.Say(s.refer(r).Raw)
	return nil
}

// metricName is what the metrics call a command.
var metricName = map[string]string{"NOOP": "noop", "RSET": "rset"}

// verify answers VRFY without having asked anybody (RFC 5321 section 3.5.3),
// where MAIL would be taken.
func (s *session) verify() {
	switch {
	case s.caps == nil:
		s.refuse(replyNoGreeting)
	case s.mustLogIn():
		s.refuse(replyAuthRequired)
	default:
		s.w.Say([]byte(replyNotVerified))
	}
}

// greetAgain is for EHLO and HELO after one that was taken. It ends a
// transaction (RFC 5321 section 4.1.4). With the client's own login it goes
// upstream, which may offer something else by now; where it refuses, nothing has
// changed.
func (s *session) greetAgain(verb string, line []byte) []byte {
	as := greetingOf(verb, line)
	if as.Name == "" {
		s.refuse(replyNoName)
		return nil
	}
	if s.up != nil && !s.renewable() {
		s.w.Flush()
		err := s.up.Greet(as)
		if err != nil {
			s.greetingFailed(err)
			return nil
		}
		s.caps = s.up.Offers()
	}
	s.helo = as
	return []byte(forLibrary[verb])
}

// greetingOf takes the name out of EHLO or HELO.
func greetingOf(verb string, line []byte) upstream.Greeting {
	name := bytes.TrimSpace(line)[len(verb):]
	return upstream.Greeting{Name: string(bytes.TrimSpace(name)), HELO: verb == "HELO"}
}

func (s *session) greetingFailed(err error) {
	if !refusesGreeting(err) {
		s.w.Say(s.refer(s.lost(err, replyLost)).Raw)
		return
	}
	s.w.Wrong()
	s.w.Say(problemOf(err, circumstance{}).reply.Raw)
}

// refusesGreeting reports whether the upstream is there, but does not like to be
// greeted so. The client may try another name, or HELO, as it would without us.
func refusesGreeting(err error) bool {
	r := (*upstream.Refusal)(nil)
	return errors.As(err, &r) && r.ToGreeting && r.Code != 421
}
