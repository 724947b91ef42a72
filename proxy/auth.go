package proxy

import (
	"slices"

	"github.com/emersion/go-sasl"
)

// AUTH is relayed line by line (RFC 4954), whatever the mechanism: no
// challenge or response is decoded, kept or logged here. On a route with a
// users file sendguard checks the login itself, see guardlogin.go.

// An authState is how far an AUTH exchange has come.
type authState struct {
	open     bool   // the next line of the client is a response
	asked    bool   // the library passed the client's last line on
	done     bool   // the client has logged in
	user     string // as which of ours
	failures int    // of logins that are checked here
}

// mustLogIn reports whether MAIL is too early.
func (s *session) mustLogIn() bool { return s.AuthRequired && !s.auth.done }

// AuthMechanisms lists what the client may use: what the upstream offers, less
// what cannot be relayed, or what sendguard can check.
func (s *session) AuthMechanisms() []string {
	switch {
	case s.users != nil:
		return guardMechanisms
	case !s.dialer.Relay || s.up == nil:
		return nil
	}
	names := s.up.mechanisms()
	if s.secured() {
		names = withoutDowngrades(names, s.up)
	}
	if s.AuthRequired { // of somebody
		names = slices.DeleteFunc(names, func(name string) bool { return name == "ANONYMOUS" })
	}
	return names
}

// Auth begins an exchange. Nothing is sent before Next is called.
func (s *session) Auth(mechanism string) (sasl.Server, error) {
	switch offered := s.AuthMechanisms(); {
	case len(offered) == 0:
		return nil, s.answer(ownReply(replyNoAuth))
	case !slices.Contains(offered, mechanism):
		return nil, s.answer(ownReply(replyMechanism))
	case s.users != nil && s.w.inside: // RFC 4954 section 4
		return nil, s.answer(ownReply(replyAuthInside))
	}
	if s.users != nil {
		return &guardLogin{session: s, mechanism: mechanism}, nil
	}
	return (*authRelay)(s), nil
}

type authRelay session

// Next sends the client's last line upstream: the AUTH command itself or a
// response. The client is told what comes back as it came, so the library
// need not know the challenge.
func (a *authRelay) Next([]byte) (challenge []byte, done bool, err error) {
	s := (*session)(a)
	r, err := s.ask("auth", s.w.line)
	s.auth.open, s.auth.asked, s.auth.done = err == nil && r.code == 334, true, err == nil && r.code == 235
	if err == nil && !s.auth.open && r.code != 235 && r.code < 400 {
		err = errProtocol
	}
	if err != nil {
		return nil, false, s.answer(s.lost(err, replyLost))
	}
	return nil, r.code == 235, s.answer(r)
}

// cancelAuth is called after each line of an exchange. Where the library did
// not relay it, it gave up: the client sent "*", or no base64. Then the
// upstream is sent the line, and cancels too (RFC 4954 section 4).
func (s *session) cancelAuth() {
	if s.auth.asked {
		s.auth.asked = false
		return
	}
	s.auth.open = false
	if s.users != nil {
		s.w.instead = []byte(replyAuthCancelled)
		return
	}
	r, err := s.ask("auth", s.w.line)
	if err == nil && r.code < 400 {
		err = errProtocol
	}
	if err != nil {
		r = s.lost(err, replyLost)
	}
	s.w.instead = r.raw
}
