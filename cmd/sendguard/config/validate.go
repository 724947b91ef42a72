package config

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sendguard/policy"
	"sendguard/proxy"
	"sendguard/proxy/unfinished"
)

// labelName is what can be the name of a route or rule in logs and metrics.
var labelName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// check reports what can be decoded and still makes no sense.
func (c *Config) check(d *decoder) {
	if len(c.Routes) == 0 {
		d.problem("routes", "at least one route is needed")
	}
	for i := range c.Routes {
		c.checkRoute(d, i)
	}
	c.checkRules(d)
	c.checkInspect(d)
	if _, err := policy.New(c.PolicySettings()); err != nil {
		key, text, _ := strings.Cut(err.Error(), ": ")
		d.problem("policy."+key, "%s", text)
	}
	c.checkIndividual(d)
	c.Server.check(d)
	if problem := addressProblem(c.Metrics.Listen); problem != "" {
		d.problem("metrics.listen", "%s", problem)
	}
	for _, r := range c.Routes {
		if sameAddress(r.Listen, c.Metrics.Listen) {
			d.problem("metrics.listen", "%s is taken by route %s", c.Metrics.Listen, r.Name)
		}
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		d.problem("log.level", "%q is none of debug, info, warn, error", c.Log.Level)
	}
	if c.Log.Format != "text" && c.Log.Format != "json" {
		d.problem("log.format", "%q is none of text, json", c.Log.Format)
	}
}

func (c *Config) checkIndividual(d *decoder) {
	i := &c.Policy.Individual
	if i.TimeBudget <= 0 {
		d.problem("policy.individual.time_budget", "must be more than zero")
	}
	if path, ok := strings.CutPrefix(string(i.State), "bolt:"); ok && path != "" {
		path = d.relative(path)
		i.State = state("bolt:" + path)
		if _, err := os.Stat(filepath.Dir(path)); err != nil {
			d.problem("policy.individual.state", "the folder of the file: %v", err)
		}
	}
	if err := unfinished.Check(string(i.State)); err != nil {
		d.problem("policy.individual.state", "%v", err)
	}
	if dir := &c.Server.SpoolDir; *dir != "" {
		*dir = d.relative(*dir)
		if info, err := os.Stat(*dir); err != nil {
			d.problem("server.spool_dir", "%v", err)
		} else if !info.IsDir() {
			d.problem("server.spool_dir", "%s is not a folder", *dir)
		}
	}
}

func (c *Config) checkRules(d *decoder) {
	for i, r := range c.Policy.Rules {
		key := fmt.Sprintf("policy.rules[%d]", i)
		if !labelName.MatchString(r.Name) || r.Name == policy.RulePolicy {
			d.problem(key+".name", "%q: use letters, digits, - and _, at most 64, and not %q", r.Name, policy.RulePolicy)
		}
		for _, other := range c.Policy.Rules[:i] {
			if other.Name == r.Name {
				d.problem(key+".name", "%q is the name of another rule", r.Name)
			}
		}
		if reflect.ValueOf(r.Match).IsZero() {
			d.problem(key, "has no match (for all messages: set the policy's own values)")
		}
		if len(r.Match.User) > 0 && !slices.ContainsFunc(c.Routes, func(r routeConfig) bool { return r.UsersFile != "" }) {
			d.problem(key+".match.user", "no route has a users_file, so nobody's name is known")
		}
		for _, name := range r.Match.Route {
			if !slices.ContainsFunc(c.Routes, func(r routeConfig) bool { return r.Name == name }) {
				d.problem(key+".match.route", "there is no route %q", name)
			}
		}
	}
}

// checkInspect reports limits for what is not looked at.
func (c *Config) checkInspect(d *decoder) {
	if c.Policy.Inspect.Body {
		return
	}
	const text = "needs inspect: {body: true}"
	if policy.Limit(c.Policy.Limits.Body) != policy.Unlimited {
		d.problem("policy.limits.body", text)
	}
	for i, r := range c.Policy.Rules {
		if r.Limits.Body != nil {
			d.problem(fmt.Sprintf("policy.rules[%d].limits.body", i), text)
		}
	}
}

func (c *Config) checkRoute(d *decoder, i int) {
	r := &c.Routes[i]
	key := fmt.Sprintf("routes[%d]", i)
	if !labelName.MatchString(r.Name) {
		d.problem(key+".name", "%q: use letters, digits, - and _, at most 64", r.Name)
	}
	for _, other := range c.Routes[:i] {
		if other.Name == r.Name {
			d.problem(key+".name", "%q is the name of another route", r.Name)
		}
		if r.Listen != "" && sameAddress(other.Listen, r.Listen) {
			d.problem(key+".listen", "%s is taken by route %s", r.Listen, other.Name)
		}
	}
	r.checkUsers(d, key)
	r.checkListen(d, key)
	c.checkUpstream(d, key+".upstream", &r.Upstream)
}

func (r *routeConfig) checkUsers(d *decoder, key string) {
	if r.UsersFile == "" {
		return
	}
	if r.Upstream.Auth == authRelay {
		d.problem(key+".users_file", "only with upstream.auth: login or none; with relay it is the upstream that knows the users")
	}
	r.UsersFile = d.relative(r.UsersFile)
	if err := proxy.CheckUsersFile(r.UsersFile); err != nil {
		d.problem(key+".users_file", "%v (make one with: sendguard user NAME --file %s)", err, r.UsersFile)
	}
}

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
		d.problem(key+".address", "%s", problem)
		return
	}
	for _, r := range c.Routes {
		if sameAddress(r.Listen, u.Address) {
			d.problem(key+".address", "%s is where route %s listens: mail would go round in circles", u.Address, r.Name)
		}
	}
	switch {
	case !slices.Contains([]proxy.TLSMode{proxy.TLSStartTLS, proxy.TLSImplicit, proxy.TLSNone}, u.TLS):
		d.problem(key+".tls", "%q is none of starttls, implicit, none", u.TLS)
	case u.TLS == proxy.TLSStartTLS && port == "465":
		d.problem(key+".tls", "port 465 speaks TLS from the start (RFC 8314): use tls: implicit")
	case u.TLS == proxy.TLSNone && !IsLoopback(host) && !u.PlaintextUpstream:
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
			d.problem(key+".ca_file", "%v", err)
		}
	}
}

// checkLogin checks what belongs to auth: login. The command is not run here.
func (u *upstreamConfig) checkLogin(d *decoder, key string) {
	given := 0
	for _, k := range []struct{ name, value string }{
		{"password", string(u.Password)}, {"password_file", u.PasswordFile}, {"password_command", u.PasswordCommand}, {"username", u.Username},
	} {
		if k.value != "" && u.Auth != authLogin {
			d.problem(key+"."+k.name, "only with auth: login")
		}
		if k.value != "" && k.name != "username" {
			given++
		}
	}
	switch {
	case u.Auth != authLogin:
		return
	case u.Username == "":
		d.problem(key+".username", "is needed with auth: login")
	case given != 1:
		d.problem(key+".auth", "login needs one of password, password_file and password_command")
	case strings.ContainsAny(u.Username+string(u.Password), "\x00\r\n\x01"):
		d.problem(key+".username", "a user name or password cannot have control characters")
	}
	if u.PasswordFile != "" {
		u.PasswordFile = d.relative(u.PasswordFile)
		if _, err := readSecret(u.PasswordFile); err != nil {
			d.problem(key+".password_file", "%v", err)
		}
	}
}

func (s *serverConfig) check(d *decoder) {
	for key, n := range map[string]int64{
		"connections": int64(s.Connections), "connections_per_client": int64(s.ConnectionsPerClient), "recipients": int64(s.Recipients),
		"max_header_bytes": int64(s.MaxHeaderBytes), "max_line_bytes": int64(s.MaxLineBytes), "buffer_bytes": s.BufferBytes,
		"idle": int64(s.Idle), "stall": int64(s.Stall), "connect": int64(s.Connect), "upstream_reply": int64(s.UpstreamReply), "shutdown": int64(s.Shutdown),
	} {
		if n <= 0 {
			d.problem("server."+key, "must be more than zero")
		}
	}
	if s.MaxLineBytes > 0 && s.MaxLineBytes < 1000 {
		d.problem("server.max_line_bytes", "%d is less than the 1000 bytes of an ordinary header line (RFC 5322)", s.MaxLineBytes)
	}
}

// addressProblem says what is wrong with a host:port; "" is nothing.
func addressProblem(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return strconv.Quote(address) + " is not host:port"
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return strconv.Quote(address) + ": the port is not a number up to 65535"
	}
	return ""
}

// IsLoopback reports whether a host in a configuration is this machine.
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// sameAddress reports whether two host:port mean the same listener.
func sameAddress(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	return hostA == hostB || covers(hostA, hostB) || covers(hostB, hostA)
}

// covers reports whether a listener on the first host takes the second, too.
func covers(host, other string) bool {
	switch host {
	case "localhost":
		return IsLoopback(other)
	case "", "::":
		return IsLoopback(other) || other == "" || other == "::" || other == "0.0.0.0"
	case "0.0.0.0":
		return IsLoopback(other) && other != "::1"
	}
	return false
}
