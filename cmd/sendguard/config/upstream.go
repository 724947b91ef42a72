package config

import (
	"net"
	"slices"
	"strconv"
	"strings"

	"sendguard/proxy/upstream"
)

func (c *Config) checkUpstream(d *decoder, key string, u *upstreamConfig) {
	problem := addressProblem(u.Address)
	host, port, _ := net.SplitHostPort(u.Address)
	switch {
	case u.Address == "":
		problem = "is needed: host:port of the outgoing mail server, smtp.example.com:587 for example"
	case problem == "" && (host == "" || port == "0"):
		problem = strconv.Quote(u.Address) + " is not host:port"
	}
	if problem != "" {
		d.problem(key+".address", "%s", words(problem))
		return
	}
	for _, r := range c.Routes {
		if sameAddress(r.Listen, u.Address) {
			d.problem(key+".address", "%s is where route %s listens: mail would go round in circles", u.Address, r.Name)
		}
	}
	switch {
	case !slices.Contains([]upstream.TLSMode{upstream.TLSStartTLS, upstream.TLSImplicit, upstream.TLSNone}, u.TLS):
		d.problem(key+".tls", "%q is none of starttls, implicit, none", u.TLS)
	case u.TLS == upstream.TLSStartTLS && port == "465":
		d.problem(key+".tls", "port 465 speaks TLS from the start (RFC 8314): use tls: implicit")
	case u.TLS == upstream.TLSNone && !IsLoopback(host) && !u.PlaintextUpstream:
		d.problem(key+".tls", "none is for an upstream on this machine; elsewhere mail would travel in the clear (use starttls or implicit; with auth: none, plaintext_upstream: true allows it)")
	}
	switch {
	case !slices.Contains([]string{authRelay, authLogin, authNone}, u.Auth):
		d.problem(key+".auth", "%q is none of relay, login, none", u.Auth)
	case u.PlaintextUpstream && u.Auth != authNone:
		d.problem(key+".plaintext_upstream", "only with auth: none, or passwords would travel in the clear")
	}
	if u.MaxIdle < 0 {
		d.problem(key+".max_idle_connections", "must not be less than zero")
	}
	u.checkLogin(d, key)
	if u.CAFile != "" {
		u.CAFile = d.relative(u.CAFile)
		if _, err := u.rootCAs(); err != nil {
			d.problem(key+".ca_file", "%v", aboutFile(err, u.CAFile))
		}
	}
}

// checkLogin checks what belongs to auth: login. The command is not run here.
func (u *upstreamConfig) checkLogin(d *decoder, key string) {
	given := 0
	for _, k := range []struct{ name, value string }{
		{"password", string(u.Password)}, {"password_file", u.PasswordFile}, {"password_command", u.PasswordCommand}, {"username", u.Username}, {"mechanism", string(u.Mechanism)},
	} {
		if k.value != "" && u.Auth != authLogin {
			d.problem(key+"."+k.name, "only with auth: login")
		}
		if k.value != "" && strings.HasPrefix(k.name, "password") {
			given++
		}
	}
	switch {
	case u.Auth != authLogin:
		return
	case u.Username == "":
		d.problem(key+".username", "is needed with auth: login")
	case u.OAuth2.isSet() && given > 0:
		d.problem(key+".oauth2", "is in place of a password: not with password, password_file or password_command")
	case !u.OAuth2.isSet() && given != 1:
		d.problem(key+".auth", "login needs one of password, password_file, password_command and oauth2")
	case strings.ContainsAny(u.Username+string(u.Password), "\x00\r\n\x01"):
		d.problem(key+".username", "a user name or password cannot have control characters")
	}
	if u.PasswordFile != "" {
		u.PasswordFile = d.relative(u.PasswordFile)
		if _, err := readSecret(u.PasswordFile); err != nil {
			d.problem(key+".password_file", "%v", aboutFile(err, u.PasswordFile))
		}
	}
}
