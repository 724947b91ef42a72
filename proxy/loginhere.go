package proxy

import (
	"bytes"
	"encoding/base64"
	"strings"
	"time"

	"sendguard/proxy/upstream"
	"sendguard/proxy/users"
)

// guardMechanisms are the ways to log in at sendguard itself: those that show
// it the password, for what it keeps is a hash.
var guardMechanisms = []string{"PLAIN", "LOGIN"}

const (
	failurePause     = time.Second // from a response until its failure is told: longer than most checks take
	maxLoginFailures = 3           // of one session
)

// A guardLogin is a login that sendguard checks, against the users file.
type guardLogin struct {
	session   *session
	mechanism string
	begun     bool
	came      time.Time // the last response
	name      []byte    // LOGIN: nil until it was told
}

// Next takes a response. The library was not given it: it is the client's line,
// and the initial one is in its command.
func (l *guardLogin) Next([]byte) (challenge []byte, done bool, err error) {
	l.session.auth.open = false
	l.came = time.Now()
	said := bytes.TrimSpace(l.session.w.Line())
	if !l.begun {
		l.begun = true
		words := bytes.Fields(said)
		if len(words) < 3 {
			return l.ask(map[string]string{"PLAIN": "", "LOGIN": "Username:"}[l.mechanism])
		}
		said = words[2]
	}
	response, err := base64.RawStdEncoding.DecodeString(string(bytes.TrimRight(said, "="))) // an empty one is "=", RFC 4954 section 4
	if err != nil {
		return nil, false, l.session.wrong(replyAuthCancelled)
	}
	if l.mechanism == "LOGIN" {
		if l.name == nil {
			l.name = append([]byte{}, response...)
			return l.ask("Password:")
		}
		return l.check(string(l.name), string(response))
	}
	parts := bytes.Split(response, []byte{0}) // RFC 4616
	if len(parts) != 3 || len(parts[0]) > 0 && !bytes.Equal(parts[0], parts[1]) {
		return l.fail()
	}
	return l.check(string(parts[1]), string(parts[2]))
}

func (l *guardLogin) ask(challenge string) ([]byte, bool, error) {
	l.session.auth.open = true
	return []byte(challenge), false, nil
}

// check decides. A login that failed is told late, and not often.
func (l *guardLogin) check(name, password string) ([]byte, bool, error) {
	l.session.w.Flush()
	ok, err := l.session.route.users.Check(l.session.server.ctx, name, password)
	switch {
	case err != nil:
		return nil, false, l.session.unable(err)
	case !ok:
		return l.fail()
	}
	l.session.auth.done, l.session.auth.user = true, name
	return nil, true, l.session.answer(ownReply(replyAuthOK))
}

func (l *guardLogin) fail() ([]byte, bool, error) {
	l.session.fault(faultClientLogin)
	pause := time.NewTimer(failurePause - time.Since(l.came)) // whatever the check took: that tells what it checked
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-l.session.server.ctx.Done():
	}
	if l.session.auth.failures++; l.session.auth.failures >= maxLoginFailures {
		return nil, false, l.session.answer(ownReply(replyAuthTooOften))
	}
	return nil, false, l.session.answer(ownReply(replyAuthFailed))
}

// usersOf opens the users of a route; nil: it has none of its own.
func (s *Server) usersOf(r Route) *users.Users {
	if r.UsersFile == "" {
		return nil
	}
	log := func(err error) {
		text := strings.ReplaceAll(err.Error(), r.UsersFile, "users_file") // a path may hold a domain
		s.log.Error("the users file cannot be read, what it said before holds", "route", r.Name, "error", text)
	}
	u, err := users.Open(r.UsersFile, s.checks, func(err error) bool {
		if upstream.OutOfDescriptors(err) { // what it said before may be wrong by now, and the reason soon be gone
			return false
		}
		log(err)
		return true
	})
	if err != nil {
		log(err)
	}
	return u
}
