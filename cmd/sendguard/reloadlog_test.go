//go:build unix

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// marked are configurations with a mistake and the word hunter in the value that
// is wrong, by what the log is to say of it. DIR is a folder.
func marked(p *process) map[string]string {
	route := func(more string) string { // the route hunted, at line 3
		return "  - {name: hunted, upstream: {address: \"127.0.0.1:25\", tls: none, auth: none}, " + more + "}\n"
	}
	upstream := func(more string) string {
		return "  - {name: hunted, listen: \"127.0.0.1:0\", upstream: {" + more + "}}\n"
	}
	login := func(more string) string {
		return upstream("address: \"127.0.0.1:25\", tls: none, auth: login, username: hunter, " + more)
	}
	rule := func(more string) string { return "policy: {rules: [{" + more + "}]}\n" }
	const r, u = `c.yaml:3: routes[1].`, `c.yaml:3: routes[1].upstream.`
	return map[string]string{
		route("listen: \"hunter.example\""):                                                                                                       r + `listen: "…" is not host:port, unix:/path or systemd:NAME`,
		route("listen: \"hunter.example:hunter\""):                                                                                                r + `listen: "…": the port is not a number`,
		route("listen: \"unix:hunter.example/s\""):                                                                                                r + `listen: "…": the path of a socket must be absolute`,
		route("listen: \"unix:/no/hunter.example/s\""):                                                                                            `route hunted: cannot listen: no such file or directory`,
		route("listen: \"unix:DIR/folder.hunter.example\""):                                                                                       `route hunted: cannot listen: … is there already and is no socket`,
		route("listen: \"systemd:hunter.example\""):                                                                                               `route hunted: cannot listen: systemd passed no socket that is named …`,
		route("listen: \"hunter..example:25\", allow: [10.0.0.0/8], client_auth: none"):                                                           `route hunted: cannot listen: the name cannot be resolved`,
		route("listen: \"hunter.example:25\""):                                                                                                    r + `allow: is needed: other machines can reach …; name`,
		route("listen: \"hunter.example:25\", allow: [10.0.0.0/8], users_file: DIR/users.hunter.example"):                                         r + `tls: is needed: other machines can reach …, and passwords`,
		route("listen: \"127.0.0.1:0\", mode: hunter"):                                                                                            r + `mode: "…": want an octal mode`,
		route("listen: \"127.0.0.1:0\", allow: [hunter.example]"):                                                                                 r + `allow[0]: "…": want a network`,
		route("listen: \"127.0.0.1:0\", client_auth: hunter"):                                                                                     r + `client_auth: "…" is none of required, none`,
		route("listen: \"127.0.0.1:0\", tls: {mode: hunter}"):                                                                                     r + `tls.mode: "…" is none of starttls, implicit`,
		route("listen: \"127.0.0.1:0\", tls: {cert: hunter.example, key: /no/hunter.example}"):                                                    r + `tls: no such file or directory`,
		route("listen: \"127.0.0.1:0\", tls: {cert: DIR/users.hunter.example, key: DIR/users.hunter.example}"):                                    r + `tls: tls: failed to find any PEM data`,
		route("listen: \"127.0.0.1:0\", users_file: /no/hunter.example"):                                                                          r + `users_file: no such file or directory (make one with: sendguard user NAME --file …)`,
		route("listen: \"127.0.0.1:0\", users_file: DIR/bad.hunter.example"):                                                                      r + `users_file: …:1: the hash is neither argon2id`,
		route("listen: \"127.0.0.1:0\", name: hunter.example"):                                                                                    r + `name: is there twice`,
		"  - {name: hunter.example, listen: \"127.0.0.1:0\", upstream: {address: \"127.0.0.1:25\", tls: none}}\n":                                 r + `name: "…": use letters`,
		"  - {name: a, listen: \"hunter.example:1\", upstream: {address: \"hunter.example:1\"}}\n":                                                u + `address: … is where route … listens`,
		"  - {name: a, listen: \"unix:/hunter\", mode: \"0600\", upstream: {address: \"127.0.0.1:25\"}}\nmetrics: {listen: \"hunter.example\"}\n": `metrics.listen: "…" is not host:port`,
		upstream("address: hunter.example"):                                                                                                       u + `address: "…" is not host:port`,
		upstream("address: \"hunter.example:x\""):                                                                                                 u + `address: "…": the port is not a number`,
		upstream("address: \"hunter.example:25\", tls: hunter"):                                                                                   u + `tls: "…" is none of starttls`,
		upstream("address: \"hunter.example:25\", auth: hunter"):                                                                                  u + `auth: "…" is none of relay`,
		upstream("address: \"hunter.example:25\", ca_file: /no/hunter.example"):                                                                   u + `ca_file: no such file or directory`,
		upstream("address: \"hunter.example:25\", ca_file: DIR/users.hunter.example"):                                                             u + `ca_file: … holds no PEM certificate`,
		upstream("address: \"hunter.example:25\", tls_compatibility: hunter"):                                                                     u + `tls_compatibility: "…" is not true or false`,
		login("password: \"hunter\\n\""):                                                                                                          u + `username: a user name or password cannot have control characters`,
		login("password_file: /no/hunter.example"):                                                                                                u + `password_file: no such file or directory`,
		login("password_file: DIR/two.hunter.example"):                                                                                            u + `password_file: … has more than one line`,
		login("password_file: DIR/none.hunter.example"):                                                                                           u + `password_file: … is empty`,
		login("password_command: \"exit 3 # hunter.example\""):                                                                                    u + `password_command: exit status 3`,
		login("password_command: \"echo hunter; echo hunter.example\""):                                                                           u + `password_command: its output has more than one line`,
		login("password: *hunter.example"):                                                                                                        `c.yaml:3: not YAML: `,
		login("password: \"${HUNTER.EXAMPLE_hunter}\""):                                                                                           u + `password: the environment has no variable "…"`,
		login("password: {hunter.example: hunter}"):                                                                                               u + `password: want a single value`,
		upstream("hunter.example: x, address: \"127.0.0.1:25\", tls: none"):                                                                       `unknown key`,
		"hunter.example: [\n": `not YAML: `,
		"server: {spool_dir: \"hunter\tx}\nhunter: 'hunter\n":                               `not YAML: `,
		"policy: {internal_domains: [\"@hunter.example\"]}\n":                               `c.yaml:3: policy.internal_domains: "…" is not a domain`,
		"policy: {personal_domains: [\"*.hunter.example\"]}\n":                              `c.yaml:3: policy.personal_domains: "…" is not a domain`,
		"policy: {limits: {external: hunter.example}}\n":                                    `c.yaml:3: policy.limits.external: "…": want a number`,
		"policy: {action: hunter.example}\n":                                                `c.yaml:3: policy.action: "…" is none of allow`,
		"policy: {override: hunter.example}\n":                                              `c.yaml:3: policy.override: "…" is not true or false`,
		"policy: {bare_newline: hunter.example}\n":                                          `c.yaml:3: policy.bare_newline: "…" is none of`,
		"policy: {reject_hint: \"hunter.exämple\"}\n":                                       `c.yaml:3: policy.reject_hint: only printable`,
		"policy: {individual: {time_budget: hunter}}\n":                                     `c.yaml:3: policy.individual.time_budget: "…" is not a duration`,
		"policy: {individual: {state: hunter.example}}\n":                                   `c.yaml:3: policy.individual.state: want memory, bolt:PATH`,
		"policy: {individual: {state: \"bolt:/no/hunter.example/f\"}}\n":                    `c.yaml:3: policy.individual.state: the folder of the file: no such file`,
		"policy: {individual: {state: \"bolt:DIR/folder.hunter.example\"}}\n":               `c.yaml:3: policy.individual.state: cannot be written to as user …: … is no file`,
		"policy: {individual: {state: \"redis://hunter:hunter@hunter.example:99999/0\"}}\n": `c.yaml:3: policy.individual.state: the port is not a number`,
		"policy: {individual: {state: \"redis://hunter:hunter@hunter..example:1/0\"}}\n":    `c.yaml:3: policy.individual.state: cannot be written to as user …: redis at …: `,
		"policy: {individual: {state: \"redis://hunter:hunter@127.0.0.1:1/0\"}}\n":          `c.yaml:3: policy.individual.state: cannot be written to as user …: redis at …: `,
		rule("name: hunter.example, match: {reply: true}"):                                  `policy.rules[0].name: "…": use letters`,
		rule("match: {from: [hunter]}"):                                                     `policy.rules[0].match.from: "…" is not an address`,
		rule("match: {to: [\"@hunter.example\"]}"):                                          `policy.rules[0].match.to: "…" is not an address`,
		rule("match: {route: [hunter.example]}"):                                            `policy.rules[0].match.route: there is no route "…"`,
		rule("match: {user: [hunter.example]}"):                                             `policy.rules[0].match.user: no route has a users_file`,
		rule("match: {reply: hunter.example}"):                                              `policy.rules[0].match.reply: "…" is not true or false`,
		rule("match: {reply: true}, action: hunter"):                                        `policy.rules[0].action: "…" is none of`,
		"server: {spool_dir: /no/hunter.example}\n":                                         `c.yaml:3: server.spool_dir: no such file or directory`,
		"server: {spool_dir: DIR/users.hunter.example}\n":                                   `c.yaml:3: server.spool_dir: … is not a folder`,
		"server: {connections: hunter.example}\n":                                           `c.yaml:3: server.connections: "…" is not a number`,
		"server: {idle: hunter.example}\n":                                                  `c.yaml:3: server.idle: "…" is not a duration`,
		"metrics: {listen: \"hunter.example:hunter\"}\n":                                    `metrics.listen: "…": the port is not a number`,
		"log: {level: hunter.example}\n":                                                    `c.yaml:3: log.level: "…" is none of`,
		"log: {format: hunter.example}\n":                                                   `c.yaml:3: log.format: "…" is none of`,
	}
}

func TestABadReloadLogsNoValueAndNoPath(t *testing.T) {
	p := startProcess(t, "")
	dir := filepath.Join(t.TempDir(), "hunter.example")
	for name, text := range map[string]string{"users.hunter.example": "", "bad.hunter.example": "hunter:hunter.example\n", "two.hunter.example": "hunter\nhunter\n", "none.hunter.example": ""} {
		if err := os.MkdirAll(filepath.Join(dir, "folder.hunter.example"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for text, want := range marked(p) {
		before := len(p.out.String())
		if !strings.Contains(text, "metrics") {
			text += "metrics: {listen: 127.0.0.1:0}\n"
		}
		p.write(strings.ReplaceAll(text, "DIR", dir))
		p.signal(syscall.SIGHUP)
		p.out.findBehind(t, before, refused+` error="?[^\n]*`+strings.ReplaceAll(regexp.QuoteMeta(want), `"`, `\\"`))
	}
	if err := os.Remove(p.config); err != nil {
		t.Fatal(err)
	}
	before := len(p.out.String())
	p.signal(syscall.SIGHUP)
	p.out.findBehind(t, before, refused+` error="no such file or directory"`)
	for _, line := range strings.Split(p.out.String(), "\n") {
		if strings.Contains(line, "hunter") || strings.Contains(line, filepath.Dir(p.config)) || strings.Contains(line, "/no/") {
			t.Errorf("the log tells %s", line)
		}
	}
	p.stop()
}

// refused begins the log line of a reload that failed.
const refused = `msg="the configuration cannot be loaded, the one before it stays"`
