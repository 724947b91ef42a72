package proxy

import (
	"errors"
	"os"
	"strconv"

	"sendguard/proxy/upstream"
)

// Where the client's own login does not go upstream, a connection there is no
// different after a session than before. It is kept open for the next session
// that greets with the same name, and one that was lost between transactions
// is replaced without a word: a message goes over a connection that is known
// to be there, or over a new one.

// renewable reports whether another connection upstream can take the place of
// the one that there is: no login of the client's would be missing.
func (s *session) renewable() bool { return !s.route.dialer.Relay }

// connect gets the session a way upstream: one that was kept, or a new one.
// Where it fails the fault is counted, and the error says what to answer.
func (s *session) connect() error {
	if s.renewable() {
		if u := s.route.pool.Take(s.helo.Name); u != nil {
			s.opened(u.Socket())
			if u.Alive() {
				s.up = u
				s.server.metrics.reused(s.route.config.Name)
				return nil
			}
			u.Close()
		}
	}
	return s.connectAnew()
}

func (s *session) connectAnew() error {
	up, err := s.route.dialer.Dial(s.server.ctx, s.helo, s.opened)
	s.server.metrics.connected(s.route.config.Name, err)
	if d := (*upstream.DialError)(nil); errors.As(err, &d) {
		s.faultDetail(fault(d.Kind), s.route.dialer.Address+": "+d.Error())
	}
	s.up = up
	return err
}

// beginTransaction sends MAIL upstream. A connection that is gone is replaced, for
// nothing of the transaction was answered yet; once, and by a new one.
func (s *session) beginTransaction() (reply, error) {
	if !s.renewable() || s.up.InTransaction() { // MAIL within a transaction is for the upstream to refuse
		return s.ask("mail", s.w.Line())
	}
	s.w.Flush()
	if s.up != nil && s.up.Alive() {
		if r, err := s.ask("mail", s.w.Line()); !isGone(r, err) {
			return r, err
		}
	}
	s.hangUp()
	if err := s.connectAnew(); err != nil {
		return reply{}, err
	}
	if offersLess(s.up.Offers(), s.caps) {
		return ownReply(replyOffersLess), nil
	}
	return s.ask("mail", s.w.Line())
}

// isGone reports whether the answer to MAIL is that the upstream is gone, or
// going.
func isGone(r reply, err error) bool {
	return r.Code == 421 || err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
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
func (s *session) giveBack(u *upstream.Conn) {
	switch {
	case !s.renewable() || !s.route.pool.Wants(u):
		u.Quit()
	case !u.Reset():
		u.Close()
	default:
		s.opened(nil)
		s.route.pool.Put(u)
	}
}
