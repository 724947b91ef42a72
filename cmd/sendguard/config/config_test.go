package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"sendguard/policy"

	"go.uber.org/goleak"
	"gopkg.in/yaml.v3"
)

// TestMain: a command that prints a password leaves nothing running.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// minimal is the smallest configuration that there is.
const minimal = "routes:\n  - listen: 127.0.0.1:1587\n    upstream: {address: smtp.example.com:587}\n"

func writeConfig(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// printed is the configuration as it is in force.
func printed(t *testing.T, c *Config) string {
	t.Helper()
	var out strings.Builder
	if err := c.Print(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestTheExampleSaysWhatIsInForceWithoutIt(t *testing.T) {
	example, err := Load("../../../config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	short, err := Load(writeConfig(t, strings.Replace(minimal, "listen", "name: work\n    listen", 1)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Config{example, short} { // an empty list is none
		c.source = nil
		if len(c.Policy.InternalDomains) == 0 {
			c.Policy.InternalDomains = nil
		}
		if len(c.Policy.PersonalDomains) == 0 {
			c.Policy.PersonalDomains = nil
		}
		if len(c.Policy.Rules) == 0 {
			c.Policy.Rules = nil
		}
	}
	if !reflect.DeepEqual(example, short) {
		t.Errorf("the example is not the defaults:\n%+v\n%+v", example, short)
	}
}

func TestTheExampleHasEveryKey(t *testing.T) {
	text, err := os.ReadFile("../../../config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	haveKeys(t, doc.Content[0], reflect.TypeFor[Config](), "")
	if want := fmt.Sprintf("# %s: %d ", policy.InBody.Key(), defaultBody); !strings.Contains(string(text), want) {
		t.Errorf("config.example.yaml lacks %q", want)
	}
}

func haveKeys(t *testing.T, n *yaml.Node, typ reflect.Type, path string) {
	t.Helper()
	if typ.Kind() == reflect.Slice && typ.Elem().Kind() == reflect.Struct && len(n.Content) > 0 {
		n, typ = n.Content[0], typ.Elem()
	}
	if typ.Kind() != reflect.Struct && typ != reflect.TypeFor[limits]() {
		return
	}
	keys := map[string]*yaml.Node{}
	for i := 0; i < len(n.Content); i += 2 {
		keys[n.Content[i].Value] = n.Content[i+1]
	}
	if typ.Kind() == reflect.Array {
		for c := range policy.CountedKinds {
			if keys[c.Key()] == nil && c != policy.InBody { // which is an error where bodies are not inspected
				t.Errorf("config.example.yaml lacks %s.%s", path, c.Key())
			}
		}
		return
	}
	for i := range typ.NumField() {
		if !typ.Field(i).IsExported() {
			continue
		}
		key := typ.Field(i).Tag.Get("yaml")
		if keys[key] == nil {
			t.Errorf("config.example.yaml lacks %s.%s", path, key)
			continue
		}
		haveKeys(t, keys[key], typ.Field(i).Type, path+"."+key)
	}
}

func TestBadConfigurationsNameFileLineAndKey(t *testing.T) {
	route := func(more string) string { return minimal + more }
	upstream := func(more string) string {
		return "routes:\n  - listen: 127.0.0.1:1587\n    upstream:\n      address: smtp.example.com:587\n      " + more + "\n"
	}
	for text, want := range map[string]string{
		"":                       `1: routes: at least one route is needed`,
		"routes: []\n":           `1: routes: at least one route is needed`,
		"routes: 5\n":            `1: routes: want a list: [a, b]`,
		"- a\n":                  `1: want keys with values below it`,
		"routes:\n\t- x\n":       `2: not YAML: found character that cannot start any token (is the indentation right, and without tabs?)`,
		"routes:\n  - name: a\n": "2: routes[0].listen: is needed: host:port for the mail client, 127.0.0.1:1587 for example\n2: routes[0].upstream.address: is needed: host:port of the outgoing mail server, smtp.example.com:587 for example",
		route("polcy: {}\n"):     `4: polcy: unknown key`,
		route("policy:\n  limits:\n    externl: 5\n"):                                                              `6: policy.limits.externl: unknown key`,
		route("policy: {action: reject, action: allow}\n"):                                                         `4: policy.action: is there twice`,
		route("policy:\n  limits: {external: -1}\n"):                                                               `5: policy.limits.external: "-1": want a number, or "unlimited"`,
		route("policy:\n  limits: {total: some}\n"):                                                                `5: policy.limits.total: "some": want a number, or "unlimited"`,
		route("policy: {action: block}\n"):                                                                         `4: policy.action: "block" is none of allow, report, reject, bcc, individual`,
		route("policy: {action: individually}\n"):                                                                  `4: policy.action: "individually" is none of allow, report, reject, bcc, individual`,
		route("policy: {limits: {organisations: few}}\n"):                                                          `4: policy.limits.organisations: "few": want a number, or "unlimited"`,
		route("policy:\n  rules:\n    - {name: policy, match: {reply: true}}\n"):                                   `6: policy.rules[0].name: "policy": use letters, digits, - and _, at most 64, and not "policy"`,
		route("policy:\n  rules:\n    - match: {subject: x}\n"):                                                    `6: policy.rules[0].match.subject: unknown key`,
		route("policy:\n  rules:\n    - match: {user: [x]}\n"):                                                     `6: policy.rules[0].match.user: no route has a users_file, so nobody's name is known`,
		route("policy:\n  rules:\n    - match: {reply: perhaps}\n"):                                                `6: policy.rules[0].match.reply: "perhaps" is not true or false`,
		route("policy:\n  rules:\n    - match: {route: [home]}\n"):                                                 `6: policy.rules[0].match.route: there is no route "home"`,
		route("policy:\n  rules:\n    - match: {from: [me]}\n"):                                                    `6: policy.rules[0].match.from: "me" is not an address (write news@example.com, or *@example.com)`,
		route("policy:\n  rules:\n    - match: {reply: true}\n    - {action: drop, match: {reply: true}}\n"):       `7: policy.rules[1].action: "drop" is none of allow, report, reject, bcc, individual`,
		route("policy:\n  rules:\n    - {name: a, match: {reply: true}}\n    - {name: a, match: {reply: true}}\n"): `7: policy.rules[1].name: "a" is the name of another rule`,
		route("policy:\n  rules:\n    - {limits: {external: few}, match: {reply: true}}\n"):                        `6: policy.rules[0].limits.external: "few": want a number, or "unlimited"`,
		route("policy:\n  rules:\n    - {reject_hint: \"\\n\", match: {reply: true}}\n"):                           `6: policy.rules[0].reject_hint: only printable US-ASCII characters can be part of an SMTP reply`,
		route("policy:\n  rules:\n    - action: report\n    - action: bcc\n"):                                      "6: policy.rules[0]: has no match (for all messages: set the policy's own values)\n7: policy.rules[1]: has no match (for all messages: set the policy's own values)",
		route("policy:\n  rules:\n    - match: {from: [\"@lists.example.com\"]}\n"):                                `6: policy.rules[0].match.from: "@lists.example.com" is not an address (write news@example.com, or *@example.com)`,
		route("metrics: {listen: localhost:1587}\n"):                                                               `4: metrics.listen: localhost:1587 is taken by route route1`,
		route("policy:\n  rules:\n    - match:\n        from:\n        # - news@example.com\n"):                    `7: policy.rules[0].match.from: is empty, and would be for every message or none`,
		route("policy:\n  rules:\n    - match: {to: []}\n"):                                                        `6: policy.rules[0].match.to: is empty, and would be for every message or none`,
		route("policy:\n  rules:\n    - match:\n"):                                                                 `6: policy.rules[0].match: is empty, and would be for every message or none`,
		route("policy:\n  rules:\n    - ~\n"):                                                                      "6: policy.rules[0]: has no match (for all messages: set the policy's own values)",
		route("policy: {personal_domains: [\"*.example\"]}\n"):                                                     `4: policy.personal_domains: "*.example" is not a domain (write example.com, or .example.com for its subdomains)`,
		route("policy: {override: maybe}\n"):                                                                       `4: policy.override: "maybe" is not true or false`,
		route("policy: {bare_newline: fix}\n"):                                                                     `4: policy.bare_newline: "fix" is none of reject, normalize`,
		route("policy: {internal_domains: [me@example.com]}\n"):                                                    `4: policy.internal_domains: "me@example.com" is not a domain (write example.com, or .example.com for its subdomains)`,
		route("policy: {internal_domains: example.com}\n"):                                                         `4: policy.internal_domains: want a list: [a, b]`,
		route("policy: {reject_hint: \"Grüße\"}\n"):                                                                `4: policy.reject_hint: only printable US-ASCII characters can be part of an SMTP reply`,
		route("policy: {reject_hint: " + strings.Repeat("x", 201) + "}\n"):                                         `4: policy.reject_hint: longer than 200 characters`,
		route("policy: {inspect: {body: 25}}\n"):                                                                   `4: policy.inspect.body: "25" is not true or false`,
		route("policy: {individual: {time_budget: 0s}}\n"):                                                         `4: policy.individual.time_budget: must be more than zero`,
		route("policy: {individual: {state: file}}\n"):                                                             `4: policy.individual.state: want memory, bolt:PATH or redis://HOST/DB (rediss:// for TLS)`,
		route("server: {idle: 5}\n"):                                                                               `4: server.idle: "5" is not a duration like 30s or 5m`,
		route("server: {idle: soon}\n"):                                                                            `4: server.idle: "soon" is not a duration like 30s or 5m`,
		route("server: {idle: 0s}\n"):                                                                              `4: server.idle: must be more than zero`,
		route("server: {recipients: lots}\n"):                                                                      `4: server.recipients: "lots" is not a number`,
		route("server: {recipients: [1]}\n"):                                                                       `4: server.recipients: want a single value`,
		route("server: {max_line_bytes: 80}\n"):                                                                    `4: server.max_line_bytes: 80 is less than the 1000 bytes of an ordinary header line (RFC 5322)`,
		route("server: {message_bytes: 0}\n"):                                                                      `4: server.message_bytes: "0": want a number of bytes, or "upstream"`,
		route("server: {spool_dir: /nowhere}\n"):                                                                   `4: server.spool_dir: stat /nowhere: no such file or directory`,
		route("metrics: {listen: \"localhost:metrics\"}\n"):                                                        `4: metrics.listen: "localhost:metrics": the port is not a number up to 65535`,
		route("---\npolicy: {action: bcc}\n"):                                                                      `4: a second YAML document: put all into one, without --- between`,
		route("---\npolicy: {action: bcc\n"):                                                                       `4: not YAML: did not find expected ',' or '}' (is the indentation right, and without tabs?)`,
		route("log: {level: warn+1}\n"):                                                                            `4: log.level: "warn+1" is none of debug, info, warn, error`,
		strings.Replace(minimal, "127.0.0.1:1587", "127.0.0.1:99999", 1):                                           `2: routes[0].listen: "127.0.0.1:99999": the port is not a number up to 65535`,
		strings.Replace(minimal, "127.0.0.1:1587", "'127.0.0.1:'", 1):                                              `2: routes[0].listen: "127.0.0.1:": the port is not a number up to 65535`,
		strings.Replace(minimal, "smtp.example.com:587", "'smtp.example.com:'", 1):                                 `3: routes[0].upstream.address: "smtp.example.com:": the port is not a number up to 65535`,
		strings.Replace(minimal, "smtp.example.com:587", "smtp.example.com:0", 1):                                  `3: routes[0].upstream.address: "smtp.example.com:0" is not host:port`,
		strings.Replace(minimal, "smtp.example.com:587", "'[::1]:submission'", 1):                                  `3: routes[0].upstream.address: "[::1]:submission": the port is not a number up to 65535`,
		route("metrics: {listen: nowhere}\n"):                                                                      `4: metrics.listen: "nowhere" is not host:port`,
		route("log: {level: loud}\n"):                                                                              `4: log.level: "loud" is none of debug, info, warn, error`,
		route("log: {format: xml}\n"):                                                                              `4: log.format: "xml" is none of text, json`,
		route("log: text\n"):                                                                                       `4: log: want keys with values below it`,
		route("log: {level: \"${SENDGUARD_NO_SUCH}\"}\n"):                                                          `4: log.level: the environment has no variable "SENDGUARD_NO_SUCH" (write $$ for a dollar sign)`,
		strings.Replace(minimal, "listen", "name: \"a@b\"\n    listen", 1):                                         `2: routes[0].name: "a@b": use letters, digits, - and _, at most 64`,
		minimal + "  - listen: 127.0.0.1:1587\n    upstream: {address: x.example.com:25}\n":                        `4: routes[1].listen: 127.0.0.1:1587 is taken by route route1`,
		strings.Replace(minimal, "smtp.example.com:587", "smtp.example.com", 1):                                    `3: routes[0].upstream.address: "smtp.example.com" is not host:port`,
		strings.Replace(minimal, "smtp.example.com:587", "localhost:1587", 1):                                      `3: routes[0].upstream.address: localhost:1587 is where route route1 listens: mail would go round in circles`,
		upstream("tls: ssl"):                                                                                       `5: routes[0].upstream.tls: "ssl" is none of starttls, implicit, none`,
		upstream("tls: none"):                                                                                      `5: routes[0].upstream.tls: none is for an upstream on this machine; elsewhere mail would travel in the clear (use starttls or implicit; with auth: none, plaintext_upstream: true allows it)`,
		strings.Replace(minimal, "587}", "465}", 1):                                                                `3: routes[0].upstream.tls: port 465 speaks TLS from the start (RFC 8314): use tls: implicit`,
		strings.Replace(minimal, "listen", "users_file: u\n    listen", 1):                                         "2: routes[0].users_file: only with upstream.auth: login or none; with relay it is the upstream that knows the users\n2: routes[0].users_file: stat DIR/u: no such file or directory (make one with: sendguard user NAME --file DIR/u)",
		upstream("auth: login"):                                                                                    `3: routes[0].upstream.username: is needed with auth: login`,
		upstream("auth: login\n      username: me"):                                                                `5: routes[0].upstream.auth: login needs one of password, password_file, password_command and oauth2`,
		upstream("auth: login\n      username: me\n      password: a\n      password_command: b"):                  `5: routes[0].upstream.auth: login needs one of password, password_file, password_command and oauth2`,
		upstream("auth: login\n      username: me\n      password_file: no-such-file"):                             `7: routes[0].upstream.password_file: open DIR/no-such-file: no such file or directory`,
		upstream("auth: login\n      username: me\n      password_file: /dev/null"):                                `7: routes[0].upstream.password_file: /dev/null is empty`,
		upstream("auth: login\n      username: me\n      password: \"a\\nb\""):                                     `6: routes[0].upstream.username: a user name or password cannot have control characters`,
		upstream("mechanism: plain"):                                                                               `5: routes[0].upstream.mechanism: only with auth: login`,
		upstream("auth: login\n      mechanism: digest-md5"):                                                       `6: routes[0].upstream.mechanism: "digest-md5": want one of auto, scram-sha-256, cram-md5, plain, login, oauthbearer, xoauth2`,
		upstream("max_idle_connections: -1"):                                                                       `5: routes[0].upstream.max_idle_connections: must not be less than zero`,
		upstream("auth: login\n      plaintext_upstream: true\n      username: me\n      password: a"):             `6: routes[0].upstream.plaintext_upstream: only with auth: none, or passwords would travel in the clear`,
		upstream("auth: login\n      tls: none\n      username: me\n      password: a"):                            `6: routes[0].upstream.tls: none is for an upstream on this machine; elsewhere mail would travel in the clear (use starttls or implicit; with auth: none, plaintext_upstream: true allows it)`,
		upstream("auth: maybe"):                                                                                    `5: routes[0].upstream.auth: "maybe" is none of relay, login, none`,
		upstream("password: secret"):                                                                               `5: routes[0].upstream.password: only with auth: login`,
		upstream("plaintext_upstream: true"):                                                                       `5: routes[0].upstream.plaintext_upstream: only with auth: none, or passwords would travel in the clear`,
		upstream("ca_file: c.yaml"):                                                                                `5: routes[0].upstream.ca_file: DIR/c.yaml holds no PEM certificate`,
		upstream("ca_file: /no/such/file"):                                                                         `5: routes[0].upstream.ca_file: open /no/such/file: no such file or directory`,
	} {
		path := writeConfig(t, text)
		_, err := Load(path)
		if err == nil {
			t.Errorf("%s\nwas taken; want %s", text, want)
			continue
		}
		got := strings.ReplaceAll(strings.ReplaceAll(err.Error(), path+":", ""), filepath.Dir(path), "DIR")
		if got != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
}

func TestALimitForBodiesNeedsThemToBeInspected(t *testing.T) {
	for text, want := range map[string]string{
		"policy: {limits: {body: 25}}\n":                                                        "4: policy.limits.body: needs inspect: {body: true}",
		"policy: {inspect: {body: true}, limits: {body: few}}\n":                                `4: policy.limits.body: "few": want a number, or "unlimited"`,
		"policy: {inspect: {body: true}, limits: {body: 131073}}\n":                             "4: policy.limits.body: 131073 is more than 131072",
		"policy:\n  rules:\n    - {match: {reply: true}, limits: {body: 25}}\n":                 "6: policy.rules[0].limits.body: needs inspect: {body: true}",
		"policy: {inspect: {body: true}, limits: {body: 25}}\n":                                 "",
		"policy: {inspect: {body: true}, rules: [{match: {reply: true}, limits: {body: 5}}]}\n": "",
	} {
		path := writeConfig(t, minimal+text)
		got := ""
		if _, err := Load(path); err != nil {
			got = strings.ReplaceAll(err.Error(), path+":", "")
		}
		if got != want {
			t.Errorf("%s\ngot  %q\nwant %q", text, got, want)
		}
	}
}

func TestBodiesThatAreInspectedHaveALimit(t *testing.T) {
	for text, want := range map[string]limit{
		"":                                  limit(policy.Unlimited),
		"policy: {inspect: {body: true}}\n": 25,
		"policy: {inspect: {body: true}, limits: {body: }}\n":          25,
		"policy: {inspect: {body: true}, limits: {body: 3}}\n":         3,
		"policy: {inspect: {body: true}, limits: {body: unlimited}}\n": limit(policy.Unlimited),
	} {
		c, err := Load(writeConfig(t, minimal+text))
		if err != nil {
			t.Errorf("%s\n%v", text, err)
		} else if got := c.Policy.Limits[policy.InBody]; got != want {
			t.Errorf("%s\n%d, want %d", text, got, want)
		}
	}
}

func TestVariablesAreExpandedAfterParsing(t *testing.T) {
	t.Setenv("SENDGUARD_TEST_PORT", "2587")
	t.Setenv("SENDGUARD_TEST_LIMIT", "7")
	t.Setenv("SENDGUARD_TEST_EVIL", "x\nserver: {recipients: 1}")
	c, err := Load(writeConfig(t, "routes:\n  - listen: 127.0.0.1:1587\n    upstream: {address: \"smtp.example.com:${SENDGUARD_TEST_PORT}\"}\n"+
		"policy: {limits: {external: \"${SENDGUARD_TEST_LIMIT}\"}, reject_hint: \"costs 5$$ or $5\"}\nserver: {recipients: \"${SENDGUARD_TEST_LIMIT}\"}\n"))
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%s %d %s %d", c.Routes[0].Upstream.Address, c.Policy.Limits[policy.External], c.Policy.RejectHint, c.Server.Recipients)
	if want := "smtp.example.com:2587 7 costs 5$ or $5 7"; got != want {
		t.Errorf("got %q", got)
	}
	c, err = Load(writeConfig(t, minimal+"policy: {reject_hint: \"${SENDGUARD_TEST_EVIL}\"}\n"))
	if err == nil || c.Server.Recipients != 1000 {
		t.Error("a variable was parsed as YAML")
	}
}

func FuzzConfig(f *testing.F) {
	example, err := os.ReadFile("../../../config.example.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	f.Add([]byte(minimal))
	f.Add([]byte("a: &x [*x]\nroutes: *x\n"))
	f.Add([]byte("routes: [&a {listen: x}, *a, ~, {upstream: ~}]\npolicy: !!int 5\n? [complex]\n: key\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c := Default()
		d := decoder{file: "x.yaml"}
		d.decode(text, &c)
		if len(d.problems) == 0 {
			c.check(&d)
		}
		for _, p := range d.problems {
			if p.line < 1 || p.Error() == "" || p.WithoutValues() == "" {
				t.Errorf("%+v", p)
			}
		}
	})
}

func TestThePasswordOfARedisIsNotPrinted(t *testing.T) {
	path := writeConfig(t, minimal+"policy: {individual: {state: \"redis://guard:t0p@hush@127.0.0.1/0\"}}\n")
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if text := printed(t, c); strings.Contains(text, "t0p") || strings.Contains(text, "hush") || !strings.Contains(text, "state: redis://(hidden)@127.0.0.1/0") {
		t.Error(text)
	}
}

func TestOldTLSIsTakenOnlyWhereItIsSet(t *testing.T) {
	for text, want := range map[string]bool{minimal: false, strings.Replace(minimal, "587}", "587, tls_compatibility: true}", 1): true} {
		c, err := Load(writeConfig(t, text))
		if err != nil {
			t.Fatal(err)
		}
		routes, err := c.ProxyRoutes(t.Context())
		if err != nil || routes[0].Upstream.TLSCompatibility != want {
			t.Errorf("%s: %+v, %v", text, routes, err)
		}
	}
}
