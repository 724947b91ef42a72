package proxy

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"sendguard/proxy/upstream"

	"github.com/xdg-go/scram"
)

// A saslServer checks logins as an upstream does: on is for its commands.
type saslServer struct {
	mu       sync.Mutex
	username string
	password string
	next     func(response string) string // the exchange under way
	used     []string                     // mechanisms that were begun
}

const (
	loginOK      = "235 2.7.0 welcome"
	loginRefused = "535 5.7.8 wrong"
)

func (s *saslServer) on(line string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if words := strings.Fields(line); len(words) > 1 && words[0] == "AUTH" {
		s.used = append(s.used, words[1])
		s.next = s.begin(words[1])
		if len(words) == 2 {
			return s.ask()
		}
		return s.answer(strings.Join(words[2:], " "))
	}
	if s.next != nil {
		return s.answer(line)
	}
	return ""
}

// ask is the first challenge of an exchange that has no initial response.
func (s *saslServer) ask() string {
	switch s.used[len(s.used)-1] {
	case "LOGIN":
		return "334 " + b64("Your name, please?")
	case "CRAM-MD5":
		return "334 " + b64("<1896.697170952@postoffice.reston.mci.net>")
	}
	return "334 "
}

func (s *saslServer) answer(response string) string {
	text, err := base64.StdEncoding.DecodeString(response)
	if err != nil {
		s.next = nil
		return "501 5.5.2 no base64"
	}
	said := s.next(string(text))
	if !strings.HasPrefix(said, "334") {
		s.next = nil
	}
	return said
}

func verdict(ok bool) string {
	if ok {
		return loginOK
	}
	return loginRefused
}

func (s *saslServer) begin(mechanism string) func(string) string {
	switch mechanism {
	case "PLAIN":
		return func(r string) string { return verdict(r == "\x00"+s.username+"\x00"+s.password) }
	case "LOGIN":
		name := ""
		return func(r string) string {
			if name == "" {
				name = r
				return "334 " + b64("Password")
			}
			return verdict(name == s.username && r == s.password)
		}
	case "CRAM-MD5": // the example of RFC 2195
		return func(r string) string { return verdict(r == "tim b913a602c7eda7a495b4e6e7334d3890") }
	case "XOAUTH2", "OAUTHBEARER":
		want := map[string]string{
			"XOAUTH2":     "user=" + s.username + "\x01auth=Bearer " + s.password + "\x01\x01",
			"OAUTHBEARER": "n,a=" + s.username + ",\x01auth=Bearer " + s.password + "\x01\x01",
		}[mechanism]
		return func(r string) string {
			if r == "" || r == "\x01" {
				return loginRefused
			}
			if r != want {
				return "334 " + b64(`{"status":"401"}`)
			}
			return loginOK
		}
	}
	return s.scram()
}

func (s *saslServer) scram() func(string) string {
	server, _ := scram.SHA256.NewServer(func(name string) (scram.StoredCredentials, error) {
		c, err := scram.SHA256.NewClient(s.username, s.password, "")
		if name != s.username || err != nil {
			return scram.StoredCredentials{}, errors.New("unknown")
		}
		return c.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "salty", Iters: 4096})
	})
	conv := server.NewConversation()
	return func(r string) string {
		if conv.Done() {
			return verdict(conv.Valid() && r == "")
		}
		text, err := conv.Step(r)
		if err != nil {
			return loginRefused
		}
		return "334 " + b64(text)
	}
}

// withLogin has the guard log in as tim, with a password.
func withLogin(password string, reread func(context.Context) (string, error)) func(*setup) {
	return func(s *setup) {
		s.upstream.Relay = false
		s.upstream.Login = &upstream.Login{Username: "tim", Password: password, Reread: reread}
	}
}

const rightPassword = "tanstaaftanstaaf"

func TestSendguardLogsInWithTheStrongestMechanismOffered(t *testing.T) {
	for offered, want := range map[string]string{
		"PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256 XOAUTH2": "SCRAM-SHA-256",
		"GSSAPI SCRAM-SHA-256-PLUS SCRAM-SHA-256":    "SCRAM-SHA-256",
		"LOGIN PLAIN CRAM-MD5 DIGEST-MD5":            "CRAM-MD5",
		"LOGIN PLAIN OAUTHBEARER":                    "PLAIN",
		"XOAUTH2 login":                              "LOGIN",
	} {
		t.Run(offered, func(t *testing.T) {
			u, server := newUpstream(t), &saslServer{username: "tim", password: rightPassword}
			u.caps, u.on = []string{"SIZE 1000", "AUTH " + offered}, server.on
			g := newGuard(t, u, withLogin(rightPassword, nil))
			c := g.dial()
			c.want("220")
			if r := c.cmd("EHLO client.test", "250"); strings.Contains(r, "AUTH") {
				t.Errorf("the client is offered a login: %q", r)
			}
			c.message(plain, "250")
			if !slices.Equal(server.used, []string{want}) {
				t.Errorf("used %q, want %s", server.used, want)
			}
			c.cmd("QUIT", "221")
			c.ended()

			server.mu.Lock()
			server.password = "another" // CRAM-MD5 has its one right answer
			server.mu.Unlock()
			wrong := newGuard(t, u, withLogin("wrong", nil))
			c = wrong.dial()
			c.want("220")
			c.cmd("EHLO client.test", "451 4.7.0 Not sent: sendguard cannot log in at 127.0.0.1: it refused the login")
			c.cmd("HELO client.test", "451 4.7.0")
			c.ended()
			if n := wrong.counter("sendguard_session_faults_total", "fault", "login"); n != 1 {
				t.Errorf("fault login is %v", n)
			}
			if n := wrong.counter("sendguard_upstream_connects_total", "result", "refused"); n != 1 {
				t.Errorf("refused connects: %v", n)
			}
			for _, secret := range []string{"=tim ", "\"tim\"", "wrong", b64("\x00tim\x00wrong")} {
				if strings.Contains(wrong.log.String(), secret) {
					t.Errorf("%q is in the log: %s", secret, wrong.log)
				}
			}
		})
	}
}

// by has the guard log in with a mechanism alone.
func by(m upstream.Mechanism) func(*setup) {
	return func(s *setup) { s.upstream.Login.Mechanism = m }
}

func TestAMechanismThatIsNamedIsTheOnlyOneTried(t *testing.T) {
	const all = "SCRAM-SHA-256 CRAM-MD5 PLAIN LOGIN OAUTHBEARER XOAUTH2"
	for _, m := range append(upstream.Mechanisms(), upstream.AnyToken) {
		t.Run(string(m), func(t *testing.T) {
			want := string(m)
			if m == upstream.AnyToken {
				want = "OAUTHBEARER"
			}
			u, server := newUpstream(t), &saslServer{username: "tim", password: rightPassword}
			u.caps, u.on = []string{"SIZE 1000", "AUTH " + all}, server.on
			newGuard(t, u, withLogin(rightPassword, nil), by(m)).greeted().message(plain, "250")
			if !slices.Equal(server.used, []string{want}) {
				t.Errorf("used %q, want %s", server.used, want)
			}

			g := newGuard(t, u, withLogin("wrong", nil), by(m))
			for range 3 { // nor is it tried again at once: accounts get locked
				c := g.dial()
				c.want("220")
				c.cmd("EHLO client.test", "451 4.7.0 Not sent: sendguard cannot log in at 127.0.0.1: it refused the login")
				c.conn.Close()
			}
			if !slices.Equal(server.used, []string{want, want}) {
				t.Errorf("a wrong one was given to %q", server.used)
			}
		})
	}
}

// A token that went out as a password has been shown to whoever reads the logs of
// failed logins, and a password that goes out as a token likewise.
func TestTokensArePresentedAsTokensAndPasswordsAsPasswords(t *testing.T) {
	for name, tc := range map[string]struct {
		offered, want string
		mechanism     upstream.Mechanism
	}{
		"a token, to a server that takes passwords": {"SCRAM-SHA-256 PLAIN LOGIN CRAM-MD5", "it takes no OAuth2 token", upstream.AnyToken},
		"a token, and its mechanism is not offered": {"PLAIN LOGIN OAUTHBEARER", "it does not offer XOAUTH2", "XOAUTH2"},
		"a password, to a server that takes tokens": {"XOAUTH2 OAUTHBEARER", "it takes no password, but an OAuth2 token", upstream.AnyPassword},
		"a mechanism that is not offered":           {"PLAIN LOGIN", "it does not offer CRAM-MD5", "CRAM-MD5"},
		"nothing that is known":                     {"GSSAPI NTLM", "it offers no way to log in that is known here", upstream.AnyPassword},
	} {
		t.Run(name, func(t *testing.T) {
			u, server := newUpstream(t), &saslServer{username: "tim", password: rightPassword}
			u.caps, u.on = []string{"SIZE 1000", "AUTH " + tc.offered}, server.on
			g := newGuard(t, u, withLogin(rightPassword, nil), by(tc.mechanism))
			c := g.dial()
			c.want("220")
			c.cmd("EHLO client.test", "451 4.7.0 Not sent: sendguard cannot log in at 127.0.0.1: "+tc.want)
			if len(server.used) > 0 {
				t.Errorf("it was given to %q", server.used)
			}
			if !strings.Contains(g.log.String(), ": "+tc.want+`"`) {
				t.Errorf("the log does not say why: %s", g.log)
			}
		})
	}
}

func TestALoginThatGoesWrong(t *testing.T) {
	first := func(line string) string { // the server's first message, with the client's nonce
		text, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(line, "AUTH SCRAM-SHA-256 "))
		_, nonce, _ := strings.Cut(string(text), "r=")
		return "r=" + nonce + "more,s=c2FsdA==,i="
	}
	isProof := func(line string) bool { return strings.HasPrefix(line, b64("c=biws,r=")[:8]) }
	refuses := "451 4.7.0 Not sent: sendguard cannot log in at 127.0.0.1: "
	for name, tc := range map[string]struct {
		offered, want string
		on            func(line string) string
	}{
		"wrong signature": {"SCRAM-SHA-256", refuses + "it did not prove that it knows the password", func(line string) string {
			if isProof(line) {
				return "334 " + b64("v="+b64(strings.Repeat("x", 32)))
			}
			return "334 " + b64(first(line)+"4096")
		}},
		"no signature at all": {"SCRAM-SHA-256", refuses + "it did not prove that it knows the password", func(line string) string {
			if isProof(line) {
				return "235 2.7.0 trust me"
			}
			return "334 " + b64(first(line)+"4096")
		}},
		"taken at once":        {"SCRAM-SHA-256", refuses + "it did not prove that it knows the password", func(string) string { return loginOK }},
		"work without end":     {"SCRAM-SHA-256", refuses + "its part of the login makes no sense", func(line string) string { return "334 " + b64(first(line)+"2000000000") }},
		"too little work":      {"SCRAM-SHA-256", refuses + "its part of the login makes no sense", func(line string) string { return "334 " + b64(first(line)+"1") }},
		"another nonce":        {"SCRAM-SHA-256", refuses + "its part of the login makes no sense", func(string) string { return "334 " + b64("r=mine,s=c2FsdA==,i=4096") }},
		"SCRAM error":          {"SCRAM-SHA-256", refuses + "it refused the login", func(string) string { return "334 " + b64("e=unknown-user") }},
		"a challenge to PLAIN": {"PLAIN", refuses + "its part of the login makes no sense", func(string) string { return "334 " + b64("what?") }},
		"challenges for ever":  {"CRAM-MD5", refuses + "its part of the login makes no sense", func(string) string { return "334 " + b64("again") }},
		"not now":              {"PLAIN", refuses + "it cannot check the login at this moment", func(string) string { return "454 4.7.0 later" }},
		"gone at once":         {"PLAIN", "421 4.4.1 Not sent: cannot reach 127.0.0.1: connection lost", func(string) string { return "close" }},
		"gone in the middle": {"LOGIN", "421 4.4.1 Not sent: cannot reach 127.0.0.1: connection lost", func(line string) string {
			if line == b64("tim") {
				return "close"
			}
			return "334 " + b64("Username:")
		}},
		"no reply to a login":             {"PLAIN", "421 4.4.1 Not sent: cannot reach 127.0.0.1: it does not speak SMTP", func(string) string { return "220 ok" }},
		"let in before it said who it is": {"LOGIN", "421 4.4.1 Not sent: cannot reach 127.0.0.1: it does not speak SMTP", func(string) string { return "250 ok" }},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t)
			u.caps = []string{"SIZE 1000", "AUTH " + tc.offered}
			u.on = func(line string) string {
				if line == "" || strings.HasPrefix(line, "EHLO") || line == "*" || line == "QUIT" {
					return ""
				}
				return tc.on(line)
			}
			c := newGuard(t, u, withLogin(rightPassword, nil)).dial()
			c.want("220")
			c.cmd("EHLO client.test", tc.want)
			c.cmd("MAIL FROM:<me@home.example>", tc.want)
			c.ended()
		})
	}
}

func TestAPasswordThatWasChangedIsReadAgain(t *testing.T) {
	u, server := newUpstream(t), &saslServer{username: "tim", password: "new"}
	u.caps, u.on = []string{"SIZE 1000", "AUTH PLAIN"}, server.on
	reads := make(chan string, 10)
	g := newGuard(t, u, withLogin("old", func(context.Context) (string, error) { reads <- "new"; return "new", nil }))
	g.greeted().message(plain, "250")
	g.greeted().message(plain, "250")
	if len(reads) != 1 || len(server.used) != 3 {
		t.Errorf("read %d times, logged in %d times", len(reads), len(server.used))
	}
	server.mu.Lock()
	server.password = "newer still"
	server.mu.Unlock()
	for range 3 { // what is refused for ever is not read again for each client
		c := g.dial()
		c.want("220")
		c.cmd("EHLO client.test", "451 4.7.0")
	}
	if len(reads) > 2 {
		t.Errorf("read %d times", len(reads))
	}
}

func TestALongTokenDoesNotGoIntoTheCommand(t *testing.T) { // RFC 4954 section 4
	u, server := newUpstream(t), &saslServer{username: "tim", password: strings.Repeat("t", 8000)}
	u.caps, u.on = []string{"SIZE 1000", "AUTH XOAUTH2"}, server.on
	newGuard(t, u, withLogin(server.password, nil), by("XOAUTH2")).greeted().message(plain, "250")
	if got, _, _ := u.got(); got[1] != "AUTH XOAUTH2" {
		t.Errorf("upstream was sent %.60q", got[1])
	}
}
