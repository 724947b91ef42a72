package proxy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"sendguard/policy"
	"sendguard/proxy/users"
)

func usersFile(t testing.TB, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users")
	writeUsers(t, path, lines...)
	return path
}

func writeUsers(t testing.TB, path string, lines ...string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func withUsers(path string) func(*setup) {
	return func(s *setup) { s.users, s.upstream.Relay = path, false }
}

func TestSendguardChecksLoginsItself(t *testing.T) {
	byBcrypt, err := bcrypt.GenerateFromPassword([]byte("open"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	path := usersFile(t, "# who may send", "", "alice:"+hashOf("sesame"), "bob@home.example:"+strings.Replace(string(byBcrypt), "$2a$", "$2y$", 1))
	u := newUpstream(t)
	g := newGuard(t, u, withUsers(path))
	alice := b64("\x00alice\x00sesame")
	for name, dialog := range map[string]exchange{
		"PLAIN at once":                 {{"AUTH PLAIN " + alice, "235 2.7.0"}},
		"PLAIN after 334":               {{"auth plain", "334 "}, {alice, "235 2.7.0"}},
		"PLAIN for oneself":             {{"AUTH PLAIN " + b64("alice\x00alice\x00sesame"), "235 2.7.0"}},
		"PLAIN by bcrypt":               {{"AUTH PLAIN " + b64("\x00bob@home.example\x00open"), "235 2.7.0"}},
		"LOGIN":                         {{"AUTH LOGIN", "334 VXNlcm5hbWU6"}, {b64("alice"), "334 UGFzc3dvcmQ6"}, {b64("sesame"), "235 2.7.0"}},
		"LOGIN with the name at once":   {{"AUTH LOGIN " + b64("alice"), "334 UGFzc3dvcmQ6"}, {b64("sesame"), "235 2.7.0"}},
		"wrong password":                {{"AUTH PLAIN " + b64("\x00alice\x00open"), "535 5.7.8"}},
		"unknown user":                  {{"AUTH PLAIN " + b64("\x00carol\x00sesame"), "535 5.7.8"}},
		"for somebody else":             {{"AUTH PLAIN " + b64("bob@home.example\x00alice\x00sesame"), "535 5.7.8"}},
		"another letter case":           {{"AUTH PLAIN " + b64("\x00Alice\x00sesame"), "535 5.7.8"}},
		"no password":                   {{"AUTH PLAIN " + b64("\x00alice\x00"), "535 5.7.8"}},
		"nothing":                       {{"AUTH PLAIN =", "535 5.7.8"}},
		"no parts":                      {{"AUTH PLAIN " + b64("alice"), "535 5.7.8"}},
		"LOGIN with an empty name":      {{"AUTH LOGIN =", "334 UGFzc3dvcmQ6"}, {b64("sesame"), "535 5.7.8"}},
		"no base64 at once":             {{"AUTH PLAIN !!!", "501 5.7.0"}},
		"no base64 later":               {{"AUTH LOGIN", "334"}, {"al!ce", "501 5.7.0"}},
		"cancelled":                     {{"AUTH LOGIN", "334"}, {"*", "501 5.7.0"}},
		"verbs as a response":           {{"AUTH LOGIN", "334"}, {"MAIL", "334"}, {"EHLO", "535 5.7.8"}},
		"another mechanism":             {{"AUTH CRAM-MD5", "504 5.7.4"}},
		"a mechanism of the upstream's": {{"AUTH XOAUTH2 " + b64("x"), "504 5.7.4"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := g.with(t).dial()
			c.want("220")
			if r := c.cmd("EHLO client.test", "250"); !strings.Contains(r+"\n", "AUTH PLAIN LOGIN\n") {
				t.Errorf("announced %q", r)
			}
			c.cmd("MAIL FROM:<me@home.example>", "530 5.7.0")
			last := ""
			for _, s := range dialog {
				last = c.cmd(s.client, s.upstream)
			}
			if strings.HasPrefix(last, "235") {
				c.cmd("AUTH PLAIN "+alice, "503")
				c.message(plain, "250")
			} else {
				c.cmd("MAIL FROM:<me@home.example>", "530 5.7.0")
				c.cmd("AUTH PLAIN "+alice, "235")
			}
			if commands, _, _ := u.got(); count(commands, "AUTH") > 0 {
				t.Errorf("upstream was sent %q", commands)
			}
		})
	}
}

func TestTooManyFailedLoginsEndTheSession(t *testing.T) {
	g := newGuard(t, newUpstream(t), withUsers(usersFile(t, "alice:"+hashOf("sesame"))))
	c := g.greeted()
	start := time.Now()
	c.cmd("AUTH PLAIN "+b64("\x00alice\x00a"), "535 5.7.8")
	c.cmd("AUTH PLAIN "+b64("\x00alice\x00b"), "535 5.7.8")
	c.cmd("AUTH PLAIN "+b64("\x00alice\x00c"), "421 4.7.0 Too many failed logins")
	c.ended()
	if took := time.Since(start); took < 3*failurePause {
		t.Errorf("three failures took %v", took)
	}
	if n := g.counter("sendguard_session_faults_total", "fault", "client_login"); n != 3 {
		t.Errorf("client_login is %v", n)
	}
}

func TestTheUsersFileIsReadAgainWhenItChanges(t *testing.T) {
	path := usersFile(t, "alice:"+hashOf("sesame"))
	g := newGuard(t, newUpstream(t), withUsers(path))
	g.greeted().cmd("AUTH PLAIN "+b64("\x00alice\x00sesame"), "235")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text, err = users.WithUser(text, "bob", "open"); err != nil {
		t.Fatal(err)
	}
	writeUsers(t, path, strings.TrimSuffix(string(text), "\n"))
	g.greeted().cmd("AUTH PLAIN "+b64("\x00bob\x00open"), "235")
	writeUsers(t, path, "alice:no hash")
	g.greeted().cmd("AUTH PLAIN "+b64("\x00bob\x00open"), "235")                                                  // a bad file changes nothing
	if log := g.log.String(); !strings.Contains(log, `"users_file:1: the hash `) || strings.Contains(log, path) { // which may hold a domain
		t.Errorf("the log is %s", log)
	}
	writeUsers(t, path, "alice:"+hashOf("sesame"))
	g.greeted().cmd("AUTH PLAIN "+b64("\x00bob\x00open"), "535")
}

func TestAUsersFileThatCannotBeReadAtFirstLocksNobodyOut(t *testing.T) {
	path := usersFile(t, "alice:no hash")
	u := newUpstream(t)
	g := newGuard(t, u, withUsers(path))
	c := g.greeted()
	c.cmd("NOOP", "250") // is answered here
	c.cmd("AUTH PLAIN "+b64("\x00alice\x00sesame"), "454 4.7.0")
	if commands, _, _ := u.got(); slices.Contains(commands, "NOOP") {
		t.Errorf("upstream got %q", commands)
	}
	writeUsers(t, path, "alice:"+hashOf("sesame"))
	c.cmd("AUTH PLAIN "+b64("\x00alice\x00sesame"), "235")
	c.cmd("MAIL FROM:<me@home.example>", "250")
	c.cmd("AUTH PLAIN "+b64("\x00alice\x00sesame"), "503")
	c.cmd("QUIT", "221")
}

func TestManyLoginsAtOnceTakeTheirTurns(t *testing.T) {
	g := newGuard(t, newUpstream(t), withUsers(usersFile(t, "alice:"+hashOf("sesame"))), func(s *setup) { s.limits.BufferBytes = 128 << 20 })
	var wg sync.WaitGroup
	for range 16 {
		c := g.greeted()
		wg.Go(func() { c.cmd("AUTH PLAIN "+b64("\x00alice\x00sesame"), "235") })
	}
	wg.Wait()
	small := newGuard(t, newUpstream(t), withUsers(usersFile(t, "alice:"+hashOf("sesame"))), func(s *setup) { s.limits.BufferBytes = 1 << 20 })
	small.greeted().cmd("AUTH PLAIN "+b64("\x00alice\x00sesame"), "454 4.7.0") // no memory for it
}

func TestRulesKnowWhoHasLoggedIn(t *testing.T) {
	path := usersFile(t, "alice:"+hashOf("sesame"), "bob:"+hashOf("sesame"))
	u := newUpstream(t)
	none := policy.Limit(0)
	g := newGuard(t, u, withUsers(path), func(s *setup) {
		s.settings.Rules = []policy.Rule{{Name: "hers", Match: policy.Match{User: []string{"alice"}}, Limits: [policy.CountedKinds]*policy.Limit{policy.External: &none}}}
	})
	for name, want := range map[string]string{"alice": "550 5.7.1", "bob": "250"} {
		c := g.greeted()
		c.cmd("AUTH PLAIN "+b64("\x00"+name+"\x00sesame"), "235")
		c.message(plain, want)
	}
}

// hashOf is the hash of a password, as a users file has it.
func hashOf(password string) string {
	line, err := users.WithUser(nil, "somebody", password)
	if err != nil {
		panic(err)
	}
	return strings.TrimSpace(strings.TrimPrefix(string(line), "somebody:"))
}
