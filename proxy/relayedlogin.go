package proxy

import (
	"bytes"
	"slices"
	"strings"

	"sendguard/proxy/upstream"

	"github.com/emersion/go-sasl"
)

// AUTH is relayed line by line (RFC 4954), whatever the mechanism: no
// challenge or response is decoded, kept or logged here. On a route with a
// users file sendguard checks the login itself, see loginhere.go.

// An authState is how far an AUTH exchange has come.
type authState struct {
	open      bool   // the next line of the client is a response
	responded bool   // the last line was one
	mechanism string // of the exchange
	done      bool   // the client has logged in
	user      string // as which of ours
	failures  int    // of logins that are checked here
}

// mustLogIn reports whether MAIL is too early.
func (s *session) mustLogIn() bool { return s.route.config.AuthRequired && !s.auth.done }

// AuthMechanisms lists what the client may use: what the upstream offers, less
// what cannot be relayed, or what sendguard can check.
func (s *session) AuthMechanisms() []string {
	switch {
	case s.route.users != nil:
		return guardMechanisms
	case !s.route.dialer.Relay || s.up == nil:
		return nil
	}
	names := s.up.Mechanisms()
	if s.secured() {
		names = withoutDowngrades(names, s.up)
	}
	if s.route.config.AuthRequired { // of somebody
		names = slices.DeleteFunc(names, func(name string) bool { return name == "ANONYMOUS" })
	}
	return names
}

// Auth begins an exchange. Nothing is sent before Next is called.
func (s *session) Auth(string) (sasl.Server, error) {
	mechanism := strings.ToUpper(string(bytes.Fields(s.w.Line())[1]))
	switch offered := s.AuthMechanisms(); {
	case len(offered) == 0:
		return nil, s.wrong(replyNoAuth)
	case !slices.Contains(offered, mechanism):
		return nil, s.wrong(replyMechanism)
	case s.route.users != nil && s.up.InTransaction(): // RFC 4954 section 4
		return nil, s.wrong(replyAuthInside)
	}
	s.auth.mechanism = mechanism
	if s.route.users != nil {
		return &guardLogin{session: s, mechanism: mechanism}, nil
	}
	return (*authRelay)(s), nil
}

// maxResponse bounds a client's response, with its CRLF (RFC 4954 section 4).
const maxResponse = 12288

// screenResponse has the library ask for the next step of an exchange with a
// response of our own: it would end the exchange, unheard upstream, where it
// finds the client's base64 not to be strict. What nobody may see of it cancels
// the exchange (RFC 4954 section 4).
func (s *session) screenResponse(line []byte) []byte {
	if len(line) > maxResponse || hasControls(line) {
		s.w.CancelLogin()
	}
	s.auth.responded = true
	return []byte("=\r\n")
}

type authRelay session

// Next sends the client's last line upstream: the AUTH command itself or a
// response. The client is told what comes back as it came, so the library
// need not know the challenge.
func (a *authRelay) Next([]byte) (challenge []byte, done bool, err error) {
	s := (*session)(a)
	answered := s.auth.responded || len(bytes.Fields(s.w.Line())) > 2
	r, err := s.ask("auth", s.w.Line())
	s.auth.open = err == nil && r.Code == 334
	s.auth.done = err == nil && s.up.LetsIn(r.Reply, answered)
	if err == nil && !s.auth.open && !s.auth.done && r.Code < 400 {
		err = upstream.ErrProtocol
	}
	if err != nil {
		return nil, false, s.answer(s.lost(err, replyLost))
	}
	if r.Code >= 400 {
		code, _ := r.Enhanced()
		s.journal.Info("the upstream refused a login", "mechanism", s.auth.mechanism, "reply", code)
	}
	return nil, s.auth.done, s.answer(r)
}
