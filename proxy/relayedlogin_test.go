package proxy

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// exchange is a login: what the client says, and what the upstream answers.
type exchange []struct{ client, upstream string }

func TestEveryMechanismIsRelayedLineByLine(t *testing.T) {
	for name, dialog := range map[string]exchange{
		"PLAIN at once":       {{"AUTH PLAIN " + b64("\x00me\x00secret"), "235 2.7.0 welcome"}},
		"PLAIN after 334":     {{"AUTH PLAIN", "334 "}, {b64("\x00me\x00secret"), "235 2.7.0 ok"}},
		"PLAIN wrong":         {{"auth plain " + b64("\x00me\x00wrong"), "535-5.7.8 Username and Password not accepted.\n535 5.7.8 see https://mail.test/login"}},
		"LOGIN":               {{"AUTH LOGIN", "334 VXNlcm5hbWU6"}, {b64("me"), "334 UGFzc3dvcmQ6"}, {b64("secret"), "235 2.7.0 ok"}},
		"LOGIN with name":     {{"AUTH LOGIN " + b64("me"), "334 UGFzc3dvcmQ6"}, {b64("secret"), "535 5.7.8 no"}},
		"empty response":      {{"AUTH LOGIN =", "334 UGFzc3dvcmQ6"}, {"", "535 5.7.8 no"}},
		"CRAM-MD5":            {{"AUTH CRAM-MD5", "334 " + b64("<1.2@upstream.test>")}, {b64("me 0123456789abcdef"), "235 2.7.0 ok"}},
		"SCRAM-SHA-256":       {{"AUTH SCRAM-SHA-256 " + b64("n,,n=me,r=abc"), "334 " + b64("r=abcdef,s=c2FsdA==,i=4096")}, {b64("c=biws,r=abcdef,p=cHJvb2Y="), "334 " + b64("v=dmVyaWZpZXI=")}, {"", "235 2.7.0 ok"}},
		"XOAUTH2":             {{"AUTH XOAUTH2 " + b64("user=me\x01auth=Bearer "+strings.Repeat("t", 8000)+"\x01\x01"), "235 2.7.0 ok"}},
		"XOAUTH2 refused":     {{"AUTH XOAUTH2 " + b64("user=me\x01auth=Bearer old\x01\x01"), "334 " + b64(`{"status":"401"}`)}, {"", "535 5.7.8 expired"}},
		"OAUTHBEARER":         {{"AUTH OAUTHBEARER " + b64("n,a=me,\x01auth=Bearer t\x01\x01"), "235 2.7.0 ok"}},
		"one nobody knows":    {{"AUTH X-NEW " + b64("a"), "334 " + b64("b")}, {b64("c"), "235 2.7.0 ok"}},
		"a challenge as text": {{"AUTH LOGIN", "334 Username, please?"}, {b64("me"), "334 and the password"}, {b64("secret"), "235 2.7.0 ok"}},
		"base64 like a verb":  {{"AUTH LOGIN", "334 VXNlcm5hbWU6"}, {"QUIT", "334 UGFzc3dvcmQ6"}, {"DATA", "235 2.7.0 ok"}},
		"no base64 at once":   {{"AUTH PLAIN !!!", "535 5.7.8 cannot decode"}},
		"cancelled":           {{"AUTH LOGIN", "334 VXNlcm5hbWU6"}, {"*", "501 5.7.0 you gave up"}},
		"not base64":          {{"AUTH LOGIN", "334 VXNlcm5hbWU6"}, {"me@home!", "501 5.5.2 cannot decode"}},
		"temporary failure":   {{"AUTH PLAIN " + b64("\x00me\x00secret"), "454 4.7.0 try again"}},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t)
			u.caps = []string{"ANOTHER", "AUTH PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256 XOAUTH2 OAUTHBEARER X-NEW"}
			step := -1
			u.on = func(line string) string {
				if line == dialog[0].client {
					step = 0
				}
				if step < 0 || step >= len(dialog) {
					return ""
				}
				step++
				return dialog[step-1].upstream
			}
			g := newGuard(t, u)
			c := g.greeted()
			var want []string
			for _, s := range dialog {
				c.send(s.client + "\r\n")
				if got := c.reply(); got != s.upstream {
					t.Fatalf("%q: got %q, want %q", s.client, got, s.upstream)
				}
				want = append(want, s.client)
			}
			if got, _, _ := u.got(); !slices.Equal(got[1:], want) {
				t.Errorf("upstream was sent %q, want %q", got[1:], want)
			}
			c.message(plain, "250") // and the session goes on in step
			log := g.log.String()
			for _, s := range dialog {
				if word := s.client[strings.LastIndex(s.client, " ")+1:]; len(word) > 5 && strings.Contains(log, word) {
					t.Errorf("%q is in the log", word)
				}
			}
		})
	}
}

func TestMechanismsThatCannotBeRelayedAreNeitherOfferedNorTaken(t *testing.T) {
	u := newUpstream(t)
	c := newGuard(t, u).dial()
	c.want("220")
	if ehlo := c.cmd("EHLO client.test", "250"); !strings.Contains(ehlo, "AUTH PLAIN LOGIN XOAUTH2 CRAM-MD5 SCRAM-SHA-256\n") && !strings.HasSuffix(ehlo, "AUTH PLAIN LOGIN XOAUTH2 CRAM-MD5 SCRAM-SHA-256") {
		t.Errorf("announced %q", ehlo)
	}
	for _, mechanism := range []string{"SCRAM-SHA-256-PLUS", "GSSAPI", "NTLM", "DIGEST-MD5", "EXTERNAL", "UNKNOWN"} {
		c.cmd("AUTH "+mechanism+" =", "504 5.7.4")
	}
	if got, _, _ := u.got(); len(got) != 1 {
		t.Errorf("upstream was sent %q", got)
	}
	none := newGuard(t, u, func(s *setup) { s.upstream.Relay = false }).dial()
	none.want("220")
	if ehlo := none.cmd("EHLO client.test", "250"); strings.Contains(ehlo, "AUTH") {
		t.Errorf("with auth none announced %q", ehlo)
	}
	none.cmd("AUTH PLAIN "+b64("\x00me\x00secret"), "502 5.5.1")
}

func TestControlCharactersInALoginNeverGoUpstream(t *testing.T) {
	u := newUpstream(t)
	u.on = func(line string) string {
		return map[string]string{"AUTH LOGIN": "334 VXNlcm5hbWU6", "*": "501 5.7.0 cancelled"}[line]
	}
	c := newGuard(t, u).greeted()
	c.cmd("AUTH LOGIN", "334")
	c.cmd("*\rMAIL FROM:<me@home.example>\rRCPT TO:<you@there.example>\rDATA\rTo: leak\r\r.\r\x00", "501 5.7.0 cancelled")
	c.cmd("NOOP", "250")
	if got, _, _ := u.got(); !slices.Equal(got[1:], []string{"AUTH LOGIN", "*", "NOOP"}) {
		t.Errorf("upstream was sent %q", got)
	}
}

func TestAnUpstreamGoneInTheMiddleOfALogin(t *testing.T) {
	u := newUpstream(t)
	u.on = func(line string) string {
		return map[string]string{"AUTH LOGIN": "334 VXNlcm5hbWU6", b64("me"): "close"}[line]
	}
	c := newGuard(t, u).greeted()
	c.cmd("AUTH LOGIN", "334")
	c.cmd(b64("me"), "421 4.4.2 Not sent: trouble with 127.0.0.1: connection lost")
	c.ended()
}

func TestAResponseGoesUpstreamAsItCame(t *testing.T) {
	padded := b64("me@home")
	long := strings.Repeat("A", maxResponse-len("\r\n"))
	for name, tc := range map[string]struct{ response, upstream string }{
		"without padding":        {strings.TrimRight(padded, "="), "235 2.7.0 ok"},
		"with a blank behind it": {padded + " ", "235 2.7.0 ok"},
		"in no base64":           {"me", "501 5.5.2 cannot decode"},
		"an equals sign":         {"=", "535 5.7.8 no"},
		"as long as may be":      {long, "235 2.7.0 ok"},
		"too long":               {long + "A", "501 5.7.0 cancelled"},
	} {
		u := newUpstream(t)
		sent := tc.response
		if name == "too long" {
			sent = "*"
		}
		u.on = func(line string) string {
			return map[string]string{"AUTH LOGIN": "334 VXNlcm5hbWU6", sent: tc.upstream}[line]
		}
		c := newGuard(t, u).greeted()
		c.cmd("AUTH LOGIN", "334")
		c.cmd(tc.response, tc.upstream)
		c.cmd("NOOP", "250")
		if got, _, _ := u.got(); !slices.Equal(got[1:], []string{"AUTH LOGIN", sent, "NOOP"}) {
			t.Errorf("%s: upstream was sent %.100q", name, got[1:])
		}
	}
}

func TestALoginThatEndsWith250IsOne(t *testing.T) {
	u := newUpstream(t)
	u.on = answers(map[string]string{"AUTH LOGIN": "334 VXNlcm5hbWU6", b64("me"): "334 UGFzc3dvcmQ6", b64("secret"): "250 2.7.0 come in", "AUTH PLAIN " + b64("\x00me\x00secret"): "250 ok"})
	must := func(s *setup) { s.route = func(r *Route) { r.AuthRequired = true } }
	c := newGuard(t, u, must).greeted()
	c.cmd("AUTH LOGIN", "334")
	c.cmd(b64("me"), "334")
	c.cmd(b64("secret"), "250 2.7.0 come in")
	c.message(plain, "250")
	c = newGuard(t, u, must).greeted()
	c.cmd("AUTH PLAIN "+b64("\x00me\x00secret"), "250 ok")
	c.message(plain, "250")
	u.caps = []string{"SIZE 1000", "AUTH PLAIN"} // and our own
	newGuard(t, u, withLogin("secret", nil), func(s *setup) { s.upstream.Login.Username = "me" }).greeted().message(plain, "250")
}

func TestAStray250LetsNobodyIn(t *testing.T) {
	must := func(s *setup) { s.route = func(r *Route) { r.AuthRequired = true } }
	for name, replies := range map[string]map[string]string{
		"before anybody said who they are": {"AUTH LOGIN": "250 2.0.0 ok"},
		"ahead of the true reply":          {"AUTH LOGIN": "334 VXNlcm5hbWU6", b64("me"): "250 2.0.0 ok\n535 5.7.8 no"},
	} {
		u := newUpstream(t)
		u.on = answers(replies)
		c := newGuard(t, u, must).greeted()
		c.send("AUTH LOGIN\r\n")
		if c.reply() == replies["AUTH LOGIN"] {
			c.send(b64("me") + "\r\n")
			c.want("421 4.4.2 Not sent: trouble with 127.0.0.1: it does not speak SMTP")
		}
		c.ended()
		if commands, _, _ := u.got(); count(commands, "MAIL") > 0 {
			t.Errorf("%s: upstream was sent %q", name, commands)
		}
	}
}

func TestAUTHThatCannotBeIsCounted(t *testing.T) {
	own := withUsers(usersFile(t, "alice:"+hashOf("sesame")))
	for name, tc := range map[string]struct {
		change func(*setup)
		line   string
		code   string
	}{
		"not offered":       {func(s *setup) { s.upstream.Relay = false }, "AUTH PLAIN =", "502 5.5.1"},
		"no such mechanism": {own, "AUTH BOGUS", "504 5.7.4"},
		"no base64":         {own, "AUTH PLAIN !!!", "501 5.7.0"},
		"twice":             {func(*setup) {}, "AUTH PLAIN =", "503 5.5.1 Logged in already"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newGuard(t, newUpstream(t), tc.change).greeted()
			if name == "twice" {
				c.cmd(tc.line, "235")
			}
			for range maxCommandErrors {
				c.cmd(tc.line, tc.code)
			}
			c.send(tc.line + "\r\n")
			c.want(tc.code)
			c.want("421 4.7.0 Too many errors")
			c.ended()
		})
	}
}

func TestASecondLoginWithinATransactionIsRefusedWithAReference(t *testing.T) {
	c := newGuard(t, newUpstream(t)).greeted()
	c.cmd("AUTH PLAIN "+b64("\x00me\x00secret"), "235")
	c.cmd("MAIL FROM:<me@home.example>", "250")
	if got := c.raw("AUTH PLAIN " + b64("\x00me\x00secret")); !referred.MatchString(got) {
		t.Errorf("got %q", got)
	}
}
