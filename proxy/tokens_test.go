package proxy

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"sendguard/proxy/oauth2"
	"sendguard/proxy/upstream"
)

// A tokenTable gives its tokens in order, one after the other as they are refused.
type tokenTable struct {
	mu     sync.Mutex
	tokens []string
	fault  error
	told   chan func(oauth2.Event) // of Keep
	ended  chan struct{}
}

func newTokens(tokens ...string) *tokenTable {
	return &tokenTable{tokens: tokens, told: make(chan func(oauth2.Event), 1), ended: make(chan struct{})}
}

func (t *tokenTable) Token(context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fault != nil {
		return "", t.fault
	}
	return t.tokens[0], nil
}

func (t *tokenTable) Refused(_ context.Context, token string) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tokens[0] == token {
		if len(t.tokens) == 1 {
			return "", oauth2.ErrNoOther
		}
		t.tokens = t.tokens[1:]
	}
	return t.tokens[0], nil
}

func (t *tokenTable) Keep(ctx context.Context, told func(oauth2.Event)) {
	t.told <- told
	<-ctx.Done()
	close(t.ended)
}

func (t *tokenTable) with(s *setup) {
	s.upstream.Relay = false
	s.upstream.Login = &upstream.Login{Username: "tim", Mechanism: upstream.AnyToken, Tokens: t}
}

// takesToken is a server that takes one token.
func takesToken(t *testing.T, right string) (*upstreamServer, *saslServer) {
	t.Helper()
	u, server := newUpstream(t), &saslServer{username: "tim", password: right}
	u.caps, u.on = []string{"SIZE 1000", "AUTH PLAIN LOGIN XOAUTH2"}, server.on
	return u, server
}

func TestATokenThatWasRefusedIsReplacedAndTheMessageSent(t *testing.T) {
	u, server := takesToken(t, "SECRET-second")
	g := newGuard(t, u, newTokens("SECRET-first", "SECRET-second").with)
	for range 2 {
		g.greeted().message(plain, "250")
	}
	if want := []string{"XOAUTH2", "XOAUTH2", "XOAUTH2"}; !slices.Equal(server.used, want) {
		t.Errorf("used %q", server.used)
	}
	if n := g.counter("sendguard_session_faults_total"); n != 0 {
		t.Errorf("%v faults: %s", n, g.log)
	}
}

func TestAServerThatRefusesEveryTokenIsLeftAloneForAWhile(t *testing.T) {
	u, server := takesToken(t, "another")
	g := newGuard(t, u, newTokens("SECRET-first", "SECRET-second").with)
	for range 5 {
		c := g.dial()
		c.want("220")
		c.cmd("EHLO client.test", "451 4.7.0 Not sent: sendguard cannot log in at 127.0.0.1: it refused the login: 535 5.7.8 wrong")
		c.conn.Close()
	}
	if n := len(server.used); n != 2 {
		t.Errorf("it was shown %d tokens", n)
	}
	if n := g.counter("sendguard_upstream_connects_total", "result", "refused"); n != 5 {
		t.Errorf("%v refused", n)
	}
	for _, secret := range []string{"SECRET", b64("user=tim")[:8], b64(`{"status":"401"}`), "wrong"} {
		if strings.Contains(g.log.String(), secret) {
			t.Errorf("%q is in the log: %s", secret, g.log)
		}
	}
}

// A server that repeats what it was shown is quoted to nobody: whoever is told that
// it refused the login is not always who may log in.
func TestAServerThatRepeatsASecretIsNotQuoted(t *testing.T) {
	const secret = "tanstaaftanstaaf, and more of it"
	for what, said := range map[string]string{
		"as it is":          "no " + secret,
		"in part":           "no " + secret[3:20] + "...",
		"in base64":         "no " + b64("\x00tim\x00"+secret),
		"in base64, begun":  "no " + b64("user=tim\x01auth=Bearer " + secret)[20:56],
		"in a second line":  "no\r\n535 5.7.8 " + secret,
		"behind many words": strings.Repeat("no ", 140) + secret[:20],
	} {
		for name, login := range map[string]func(*setup){"password": withLogin(secret, nil), "token": newTokens(secret).with} {
			u := newUpstream(t)
			u.caps = []string{"AUTH PLAIN XOAUTH2"}
			u.on = func(line string) string {
				if strings.HasPrefix(line, "AUTH") {
					if strings.Contains(said, "\r\n") {
						return "535-5.7.8 " + said
					}
					return "535 5.7.8 " + said
				}
				return ""
			}
			g := newGuard(t, u, login)
			c := g.dial()
			c.want("220")
			c.cmd("EHLO client.test", "451 4.7.0 Not sent: sendguard cannot log in at 127.0.0.1: it refused the login: 535 5.7.8 its words repeat the secret")
			if strings.Contains(g.log.String(), secret[3:20]) {
				t.Errorf("%s, %s: the log has it: %s", what, name, g.log)
			}
		}
	}
}

func TestWithoutATokenTheClientIsToldToComeBack(t *testing.T) {
	u, server := takesToken(t, "SECRET")
	tokens := newTokens("SECRET")
	tokens.fault = errors.New("nobody has logged in")
	g := newGuard(t, u, tokens.with)
	c := g.dial()
	c.want("220")
	c.cmd("EHLO client.test", "454 4.7.0 Not sent: sendguard has no OAuth2 token for 127.0.0.1: nobody has logged in")
	c.cmd("HELO client.test", "454 4.7.0")
	c.ended()
	if commands, _, _ := u.got(); len(commands) > 0 || len(server.used) > 0 {
		t.Errorf("the server was bothered: %q", commands)
	}
	if n := g.counter("sendguard_session_faults_total", "fault", "oauth_token"); n != 1 {
		t.Errorf("fault oauth_token is %v", n)
	}
	tokens.mu.Lock()
	tokens.fault = nil
	tokens.mu.Unlock()
	g.greeted().message(plain, "250") // somebody has logged in
}

func TestWhatATokenDoesIsCounted(t *testing.T) {
	u, _ := takesToken(t, "SECRET")
	tokens := newTokens("SECRET")
	g := newGuard(t, u, tokens.with)
	told := <-tokens.told
	for _, name := range []string{"sendguard_oauth_login_required", "sendguard_oauth_refreshes_total"} {
		if !g.has(name) || g.counter(name) != 0 {
			t.Errorf("%s does not begin at zero", name)
		}
	}
	if g.has("sendguard_oauth_token_expiry_timestamp_seconds") {
		t.Error("an expiry is known before there is a token")
	}
	told(oauth2.Event{Expiry: time.Unix(2000000000, 0), Result: "ok"})
	if n := g.counter("sendguard_oauth_token_expiry_timestamp_seconds"); n != 2e9 {
		t.Errorf("expiry is %v", n)
	}
	for range 2 {
		told(oauth2.Event{LoginRequired: true, Result: "refused", Fault: errors.New("the login is over")})
	}
	if g.has("sendguard_oauth_token_expiry_timestamp_seconds") || g.counter("sendguard_oauth_login_required") != 1 || g.counter("sendguard_oauth_refreshes_total", "result", "refused") != 2 {
		t.Error("a login that is over is not told")
	}
	if n := strings.Count(g.log.String(), "the login is over"); n != 1 {
		t.Errorf("it is logged %d times: %s", n, g.log)
	}
	if err := g.Reload([]Route{{Name: "work", Listen: "127.0.0.1:0", Upstream: upstream.Server{Address: u.listener.Addr().String(), TLS: upstream.TLSNone}}}, g.limits, g.policy); err != nil {
		t.Fatal(err)
	}
	select {
	case <-tokens.ended:
	case <-time.After(patience):
		t.Fatal("tokens of a configuration that is gone are still kept")
	}
	told(oauth2.Event{})
}

// TestARefusalThatHasARemedyIsExplained has the refusals of Microsoft's and Google's
// servers, as their own pages show them, with the mailbox that they may name.
func TestARefusalThatHasARemedyIsExplained(t *testing.T) {
	for said, want := range map[string]string{
		"550 5.7.30 Basic authentication is not supported for Client Submission.":                                                        "this server takes no password any more",
		"535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/x":           "Set-TransportConfig -SmtpClientAuthenticationDisabled $false",
		"535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. Visit https://aka.ms/x":          "SMTP AUTH is off for this mailbox",
		"535 5.7.139 Authentication unsuccessful, basic authentication is disabled. [tim@mail.example]":                                  "passwords are switched off",
		"535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully.":               "security defaults",
		"535 5.7.3 Authentication unsuccessful [tim@mail.example]":                                                                       "service principal",
		"534-5.7.9 Application-specific password required. For more information, go to\n534 5.7.9  https://support.google.com/x a-gsmtp": "app password",
		"535-5.7.8 Username and Password not accepted. For more information, go to\n535 5.7.8  https://support.google.com/x a-gsmtp":     "app password",
		"534-5.7.14 Please log in via your web browser and then try again.\n534 5.7.14  https://support.google.com/x a-gsmtp":            "with a browser first",
	} {
		u := newUpstream(t)
		u.caps = []string{"SIZE 1000", "AUTH PLAIN"}
		u.on = func(line string) string {
			if strings.HasPrefix(line, "AUTH") {
				return said
			}
			return ""
		}
		g := newGuard(t, u, withLogin("SECRET", nil))
		c := g.dial()
		c.want("220")
		code, words := newReply([]byte(strings.ReplaceAll(said, "\n", "\r\n") + "\r\n")).Enhanced()
		c.cmd("EHLO client.test", "451 4.7.0 Not sent: sendguard cannot log in at 127.0.0.1: it refused the login: "+code+" "+words)
		if log := g.log.String(); !strings.Contains(log, want) || strings.Contains(log, "tim@") {
			t.Errorf("%s\nthe log says %s\nwant %s", said, log, want)
		}
		_, err := upstream.Probe(t.Context(), g.routes[0].config.Upstream, g.settings.limits.Timeouts())
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), words) {
			t.Errorf("%s\na trial says %v\nwant %s", said, err, want)
		}
	}
}

func TestARefusalOfAMessageThatHasARemedyIsExplainedInTheLog(t *testing.T) {
	for said, at := range map[string]string{
		"530 5.7.57 Client not authenticated to send mail. [x]":                                         "MAIL",
		"550 5.7.60 SMTP; Client does not have permissions to send as this sender":                      "MAIL",
		"554 5.2.252 SendAsDenied; tim@mail.example not allowed to send as boss@mail.example; STOREDRV": ".",
	} {
		u := newUpstream(t)
		u.on = func(line string) string {
			if strings.HasPrefix(line, at) {
				return said
			}
			return ""
		}
		g := newGuard(t, u)
		c := g.greeted()
		if at == "MAIL" {
			c.cmd("MAIL FROM:<me@home.example>", said)
		} else {
			c.message(plain, said)
		}
		c.cmd("NOOP", "250")
		if log := g.log.String(); !strings.Contains(log, "advice=") || strings.Contains(log, "mail.example") {
			t.Errorf("%s\nthe log says %s", said, log)
		}
	}
}

// The client's own login, refused at once or at its last response.
func TestARefusalOfARelayedLoginIsRelayedAndExplainedInTheLog(t *testing.T) {
	const said = "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox of tim@mail.example."
	response := b64("\x00tim@mail.example\x00secret")
	for _, lines := range [][]string{{"AUTH PLAIN " + response}, {"AUTH PLAIN", response}} {
		u := newUpstream(t)
		u.on = answers(map[string]string{"AUTH PLAIN": "334 ", lines[len(lines)-1]: said})
		g := newGuard(t, u)
		c := g.greeted()
		for _, line := range lines[:len(lines)-1] {
			c.cmd(line, "334")
		}
		if got := c.cmd(lines[len(lines)-1], "535"); got != said {
			t.Errorf("the client is told %q", got)
		}
		c.cmd("NOOP", "250")
		told := g.lines(`msg="the server refused" `)
		if len(told) != 1 || !strings.Contains(told[0], "Set-CASMailbox") {
			t.Errorf("the log has %q", told)
		}
		if log := g.log.String(); strings.Contains(log, "mail.example") || strings.Contains(log, response) {
			t.Errorf("the log says %s", log)
		}
	}
}

// has reports whether a metric has a series.
func (g *guard) has(name string) bool {
	g.t.Helper()
	families, err := g.reg.Gather()
	if err != nil {
		g.t.Fatal(err)
	}
	return slices.ContainsFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == name && len(f.GetMetric()) > 0 })
}
