package proxy

import (
	"errors"
	"os"
	"strconv"
)

// Where the client's own login does not go upstream, a connection there is no
// different after a session than before. It is kept open for the next session
// that greets with the same name, and one that was lost between transactions
// is replaced without a word: a message goes over a connection that is known
// to be there, or over a new one.

// renewable reports whether another connection upstream can take the place of
// the one that there is: no login of the client's would be missing.
func (s *session) renewable() bool { return !s.dialer.Relay }

// connect gets the session a way upstream: one that was kept, or a new one.
// Where it fails the fault is counted, and the error says what to answer.
func (s *session) connect() error {
	if s.renewable() {
		if u := s.pool.take(s.helo.name); u != nil {
			s.opened(u.socket)
			if u.alive() {
				s.up = u
				s.metrics.reused(s.Name)
				return nil
			}
			u.close()
		}
	}
	return s.connectAnew()
}

func (s *session) connectAnew() error {
	up, err := s.dialer.dial(s.ctx, s.helo, s.opened)
	s.metrics.connected(s.Name, err)
	if d := (*dialError)(nil); errors.As(err, &d) {
		s.faultDetail(fault(d.kind), s.dialer.Address+": "+d.Error())
	}
	s.up = up
	return err
}

// beginTransaction sends MAIL upstream. A connection that is gone is replaced, for
// nothing of the transaction was answered yet; once, and by a new one.
func (s *session) beginTransaction() (reply, error) {
	if !s.renewable() || s.up.inTransaction() { // MAIL within a transaction is for the upstream to refuse
		return s.ask("mail", s.w.Line)
	}
	s.w.Flush()
	if s.up != nil && s.up.alive() {
		if r, err := s.ask("mail", s.w.Line); !isGone(r, err) {
			return r, err
		}
	}
	s.hangUp()
	if err := s.connectAnew(); err != nil {
		return reply{}, err
	}
	if offersLess(s.up.offers(), s.caps) {
		return ownReply(replyOffersLess), nil
	}
	return s.ask("mail", s.w.Line)
}

// isGone reports whether the answer to MAIL is that the upstream is gone, or
// going.
func isGone(r reply, err error) bool {
	return r.code == 421 || err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

// offersLess reports whether an upstream lacks something that was announced to
// the client.
func offersLess(now, announced map[string]string) bool {
	for _, keyword := range append(extensions, "SIZE") {
		_, had := announced[keyword]
		if _, has := now[keyword]; had && !has {
			return true
		}
	}
	before, _ := strconv.ParseInt(announced["SIZE"], 10, 64)
	limit, _ := strconv.ParseInt(now["SIZE"], 10, 64)
	return limit > 0 && (before == 0 || limit < before)
}

// giveBack keeps the session's connection upstream for another session, or
// takes leave of the upstream.
func (s *session) giveBack(u *upstream) {
	switch {
	case !s.renewable() || !s.pool.wants(u):
		u.quit()
	case !u.reset():
		u.close()
	default:
		s.opened(nil)
		s.pool.put(u)
	}
}
