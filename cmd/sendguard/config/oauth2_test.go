package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sendguard/proxy/upstream"
)

// withOAuth2 is a configuration with a route that logs in so; lines stand below
// oauth2.
func withOAuth2(lines ...string) string {
	return "routes:\n  - listen: 127.0.0.1:1587\n    upstream:\n      address: smtp.example.com:587\n      auth: login\n      username: me@example.com\n      oauth2:\n        " +
		strings.Join(lines, "\n        ") + "\n"
}

func TestABadOAuth2NamesItsKey(t *testing.T) {
	custom := func(lines ...string) string {
		return withOAuth2(append([]string{"provider: custom", "client_id: x", "auth_url: https://p.example/a", "token_url: https://p.example/t"}, lines...)...)
	}
	const at = "routes[0].upstream.oauth2"
	for text, want := range map[string]string{
		withOAuth2("client_id: x"):                                                                        "7: " + at + `.provider: "" is none of microsoft, google, fastmail, custom`,
		withOAuth2("provider: yahoo", "client_id: x"):                                                     "8: " + at + `.provider: "yahoo" is none of microsoft, google, fastmail, custom`,
		withOAuth2("provider: microsoft"):                                                                 "7: " + at + ".client_id: is needed: what the provider calls the application that you register there",
		withOAuth2("provider: google", "client_id: x", "flow: device"):                                    "10: " + at + ".flow: google has no device for mail, only code, service_account",
		withOAuth2("provider: google", "client_id: x", "flow: password"):                                  "10: " + at + `.flow: "password" is none of code, device, client_credentials, service_account`,
		withOAuth2("provider: google", "client_id: x"):                                                    "7: " + at + ".client_secret: is needed: google gives one with the client_id",
		withOAuth2("provider: google", "client_id: x", "client_secret: a", "client_secret_file: b"):       "10: " + at + ".client_secret: is there more than once: one of client_secret, client_secret_file and client_secret_command\n11: " + at + ".client_secret_file: open DIR/b: no such file or directory",
		withOAuth2("provider: google", "flow: service_account"):                                           "7: " + at + ".key: service_account needs the key file of the service account, and nothing else",
		withOAuth2("provider: google", "flow: service_account", "key: k"):                                 "10: " + at + ".key: open DIR/k: no such file or directory",
		withOAuth2("provider: microsoft", "client_id: x", "flow: client_credentials", "tenant: t"):        "10: " + at + ".flow: client_credentials needs a client_secret, or a certificate and its key",
		withOAuth2("provider: microsoft", "client_id: x", "flow: client_credentials", "client_secret: s"): "7: " + at + ".tenant: is needed with flow: client_credentials: the organisation's id",
		withOAuth2("provider: microsoft", "client_id: x", "tenant: a/b"):                                  "10: " + at + ".tenant: is not the id or the domain of an organisation",
		withOAuth2("provider: fastmail", "client_id: x", "tenant: a"):                                     "10: " + at + ".tenant: fastmail has none",
		withOAuth2("provider: fastmail", "client_id: x", "token_url: https://x.example"):                  "10: " + at + ".token_url: only with provider: custom; that of fastmail is known",
		withOAuth2("provider: fastmail", "client_id: x", "scopes: [a]"):                                   "10: " + at + ".scopes: only with provider: custom; those of fastmail are known",
		withOAuth2("provider: microsoft", "client_id: x", "store: disk"):                                  "10: " + at + ".store: want keyring, or file:PATH",
		withOAuth2("provider: microsoft", "client_id: x", "redirect_url: \"http://mail.example/\""):       "10: " + at + ".redirect_url: must be an address of this machine, as http://localhost:PORT/, or, for sendguard login --paste, an https address",
		withOAuth2("provider: microsoft", "client_id: x", "key: k"):                                       "10: " + at + ".key: a certificate or key is for client_credentials and service_account\n10: " + at + ".key: open : no such file or directory",
		custom("flow: device"): "7: " + at + ".device_url: is needed with provider: custom and flow: device",
		strings.Replace(custom(), "https://p.example/t", "http://p.example/t", 1):                                      "11: " + at + ".token_url: must be an https address, or one of this machine",
		strings.Replace(custom(), "https://p.example/a", "\"\"", 1):                                                    "10: " + at + ".auth_url: is needed with provider: custom and flow: code",
		strings.Replace(custom(), "auth: login", "auth: relay", 1):                                                     "6: routes[0].upstream.username: only with auth: login\n7: " + at + ": only with auth: login",
		strings.Replace(custom(), "username:", "password: x\n      username:", 1):                                      "8: " + at + ": is in place of a password: not with password, password_file or password_command",
		strings.Replace(custom(), "username:", "mechanism: plain\n      username:", 1):                                 "8: " + at + ": not with mechanism: plain, a token is no password",
		strings.Replace(custom(), "127.0.0.1:1587", "0.0.0.0:1587\n    allow: [10.0.0.0/8]\n    client_auth: none", 1): "9: " + at + ".flow: code is a person's mailbox, and other machines come here: it needs a users_file, or listen on this machine alone",
	} {
		path := writeConfig(t, text)
		_, err := Load(path)
		if err == nil {
			t.Errorf("%s\nwas taken; want %s", text, want)
			continue
		}
		if got := strings.ReplaceAll(strings.ReplaceAll(err.Error(), path+":", ""), filepath.Dir(path), "DIR"); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
}

func TestAnOAuth2LoginIsReadyForItsRoute(t *testing.T) {
	for text, want := range map[string]upstream.Mechanism{
		withOAuth2("provider: microsoft", "client_id: x"):                                                                              "XOAUTH2",
		withOAuth2("provider: microsoft", "client_id: x", "flow: client_credentials", "tenant: t", "client_secret: HUSH"):              "XOAUTH2",
		withOAuth2("provider: fastmail", "client_id: x", "store: \"file:token\""):                                                      upstream.AnyToken,
		withOAuth2("provider: custom", "client_id: x", "auth_url: http://127.0.0.1:1/a", "token_url: http://[::1]:1/t", "scopes: [a]"): upstream.AnyToken,
		strings.Replace(withOAuth2("provider: fastmail", "client_id: x"), "username:", "mechanism: oauthbearer\n      username:", 1):   "OAUTHBEARER",
	} {
		path := writeConfig(t, text)
		if err := os.Chmod(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path)
		if err != nil {
			t.Errorf("%s\n%v", text, err)
			continue
		}
		routes, err := c.ProxyRoutes(t.Context())
		if err != nil || routes[0].Upstream.Login.Tokens == nil || routes[0].Upstream.Login.Mechanism != want {
			t.Errorf("%s\n%+v, %v", text, routes, err)
		}
		logins, err := c.LoginRoutes()
		if err != nil || len(logins) != 1 || logins[0].Mailbox != "me@example.com" || logins[0].Flow.Personal() != (logins[0].Client.Store != nil) {
			t.Errorf("%s\n%+v, %v", text, logins, err)
		}
		if text := printed(t, c); strings.Contains(text, "HUSH") {
			t.Error(text)
		}
	}
}

func TestWhoWritesTheConfigurationIsToldWhoMaySend(t *testing.T) {
	for listen, want := range map[string]int{"listen: 127.0.0.1:1587": 1, "listen: unix:/run/x.sock": 0} {
		c, err := Load(writeConfig(t, strings.Replace(withOAuth2("provider: microsoft", "client_id: x"), "listen: 127.0.0.1:1587", listen, 1)))
		if err != nil {
			t.Fatal(err)
		}
		if notes := c.Notes(); len(notes) != want {
			t.Errorf("%s: %q", listen, notes)
		}
	}
	c, err := Load(writeConfig(t, minimal))
	if err != nil || len(c.Notes()) > 0 {
		t.Error(err, c.Notes())
	}
}

func TestAStoreThatCannotBeKeptToIsFoundByTrying(t *testing.T) {
	for store, want := range map[string]string{
		"file:/no/such/token": "10: routes[0].upstream.oauth2.store: cannot be written to as user " + Account() + ": the folder of the token: no such file or directory",
		"file:token":          "",
		"keyring":             "",
	} {
		path := writeConfig(t, withOAuth2("provider: microsoft", "client_id: x", "store: \""+store+"\""))
		if err := os.Chmod(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		keys, err := c.Try(t.Context(), true)
		got := ""
		if err != nil {
			got = strings.ReplaceAll(err.Error(), path+":", "")
		}
		if got != want || len(keys) != 1 {
			t.Errorf("%s: %q, %s", store, keys, got)
		}
		if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
			t.Errorf("%s: it made %v", store, left)
		}
	}
}
