package main

import (
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"sendguard/policy"
	"sendguard/proxy"
)

// A config is the configuration file. What it says about each key is in
// config.example.yaml.
type config struct {
	Routes  []routeConfig `yaml:"routes"`
	Policy  policyConfig  `yaml:"policy"`
	Server  serverConfig  `yaml:"server"`
	Metrics struct {
		Listen string `yaml:"listen"`
	} `yaml:"metrics"`
	Log struct {
		Level  string `yaml:"level"`
		Format string `yaml:"format"`
	} `yaml:"log"`
}

type routeConfig struct {
	Name     string         `yaml:"name"`
	Listen   string         `yaml:"listen"`
	Upstream upstreamConfig `yaml:"upstream"`
}

type upstreamConfig struct {
	Address           string        `yaml:"address"`
	TLS               proxy.TLSMode `yaml:"tls"`
	ServerName        string        `yaml:"server_name"`
	CAFile            string        `yaml:"ca_file"`
	PlaintextUpstream bool          `yaml:"plaintext_upstream"`
	Auth              string        `yaml:"auth"`
}

type policyConfig struct {
	InternalDomains []string `yaml:"internal_domains"`
	PersonalDomains []string `yaml:"personal_domains"`
	Limits          struct {
		External      limit `yaml:"external"`
		Organisations limit `yaml:"organisations"`
		Total         limit `yaml:"total"`
	} `yaml:"limits"`
	Action      policy.Action      `yaml:"action"`
	Override    bool               `yaml:"override"`
	StripBcc    bool               `yaml:"strip_bcc"`
	BareNewline policy.BareNewline `yaml:"bare_newline"`
	RejectHint  string             `yaml:"reject_hint"`
	Rules       []ruleConfig       `yaml:"rules"`
}

// A ruleConfig takes what it leaves out from the policy.
type ruleConfig struct {
	Name  string `yaml:"name"`
	Match struct {
		From     []string `yaml:"from,omitempty"`
		To       []string `yaml:"to,omitempty"`
		Route    []string `yaml:"route,omitempty"`
		Reply    *bool    `yaml:"reply,omitempty"`
		Resent   *bool    `yaml:"resent,omitempty"`
		Calendar *bool    `yaml:"calendar,omitempty"`
	} `yaml:"match"`
	Limits struct {
		External      *limit `yaml:"external,omitempty"`
		Organisations *limit `yaml:"organisations,omitempty"`
		Total         *limit `yaml:"total,omitempty"`
	} `yaml:"limits,omitempty"`
	Action     policy.Action `yaml:"action,omitempty"`
	Override   *bool         `yaml:"override,omitempty"`
	RejectHint *string       `yaml:"reject_hint,omitempty"`
}

type serverConfig struct {
	Connections          int           `yaml:"connections"`
	ConnectionsPerClient int           `yaml:"connections_per_client"`
	Recipients           int           `yaml:"recipients"`
	MaxHeaderBytes       int           `yaml:"max_header_bytes"`
	MaxLineBytes         int           `yaml:"max_line_bytes"`
	MessageBytes         messageBytes  `yaml:"message_bytes"`
	BufferBytes          int64         `yaml:"buffer_bytes"`
	Idle                 time.Duration `yaml:"idle"`
	Stall                time.Duration `yaml:"stall"`
	Connect              time.Duration `yaml:"connect"`
	UpstreamReply        time.Duration `yaml:"upstream_reply"`
	Shutdown             time.Duration `yaml:"shutdown"`
}

// defaultConfig is the configuration of an empty file; it has no routes.
func defaultConfig() config {
	var c config
	c.Policy = policyConfig{Action: policy.Reject, Override: true, StripBcc: true, BareNewline: policy.RejectBare}
	c.Policy.Limits.External = 10
	c.Policy.Limits.Organisations = limit(policy.Unlimited)
	c.Policy.Limits.Total = limit(policy.Unlimited)
	c.Server = serverConfig{
		Connections: 1000, ConnectionsPerClient: 50, Recipients: 1000,
		MaxHeaderBytes: 1 << 20, MaxLineBytes: 1 << 17, BufferBytes: 1 << 28,
		Idle: 5 * time.Minute, Stall: 3 * time.Minute, Connect: 20 * time.Second,
		UpstreamReply: 10 * time.Minute, Shutdown: 25 * time.Second,
	}
	c.Metrics.Listen = "127.0.0.1:9587"
	c.Log.Level, c.Log.Format = "info", "text"
	return c
}

func defaultRoute(n int) routeConfig {
	return routeConfig{Name: "route" + strconv.Itoa(n+1), Upstream: upstreamConfig{TLS: proxy.TLSStartTLS, Auth: authRelay}}
}

const (
	authRelay = "relay"
	authNone  = "none"
)

// A limit is a number or "unlimited".
type limit policy.Limit

func (l *limit) UnmarshalText(text []byte) error {
	if string(text) == "unlimited" {
		*l = limit(policy.Unlimited)
		return nil
	}
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 0 {
		return fmt.Errorf(`want a number, or "unlimited"`)
	}
	*l = limit(n)
	return nil
}

func (l limit) MarshalYAML() (any, error) {
	if policy.Limit(l) == policy.Unlimited {
		return "unlimited", nil
	}
	return int(l), nil
}

// messageBytes is a number of bytes or "upstream", which is zero.
type messageBytes int64

func (m *messageBytes) UnmarshalText(text []byte) error {
	if string(text) == "upstream" {
		*m = 0
		return nil
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || n <= 0 {
		return fmt.Errorf(`want a number of bytes, or "upstream"`)
	}
	*m = messageBytes(n)
	return nil
}

func (m messageBytes) MarshalYAML() (any, error) {
	if m == 0 {
		return "upstream", nil
	}
	return int64(m), nil
}

// findConfig returns the path of the configuration file: the one that was
// named, or the first that there is.
func findConfig(named string) (string, error) {
	if named != "" {
		return named, nil
	}
	if env := os.Getenv("SENDGUARD_CONFIG"); env != "" {
		return env, nil
	}
	var tried []string
	if dir, err := os.UserConfigDir(); err == nil {
		tried = append(tried, filepath.Join(dir, "sendguard", "config.yaml"))
	}
	tried = append(tried, "/etc/sendguard/config.yaml")
	for _, path := range tried {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no configuration file: looked for %s; name one with --config", strings.Join(tried, " and "))
}

// loadConfig reads and checks the configuration. The error has a line for each
// thing that is wrong, with file, line and key.
func loadConfig(named string) (*config, error) {
	path, err := findConfig(named)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c := defaultConfig()
	d := decoder{file: path}
	d.decode(text, &c)
	if len(d.problems) == 0 {
		c.check(&d)
	}
	return &c, d.err()
}

// labelName is what can be the name of a route or rule in logs and metrics.
var labelName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// check reports what can be decoded and still makes no sense.
func (c *config) check(d *decoder) {
	if len(c.Routes) == 0 {
		d.problem("routes", "at least one route is needed")
	}
	for i := range c.Routes {
		c.checkRoute(d, i)
	}
	c.checkRules(d)
	if _, err := policy.New(c.Policy.settings()); err != nil {
		key, text, _ := strings.Cut(err.Error(), ": ")
		d.problem("policy."+key, "%s", text)
	}
	c.Server.check(d)
	if _, _, err := net.SplitHostPort(c.Metrics.Listen); err != nil {
		d.problem("metrics.listen", "%q is not host:port", c.Metrics.Listen)
	}
	if new(slog.Level).UnmarshalText([]byte(c.Log.Level)) != nil {
		d.problem("log.level", "%q is none of debug, info, warn, error", c.Log.Level)
	}
	if c.Log.Format != "text" && c.Log.Format != "json" {
		d.problem("log.format", "%q is none of text, json", c.Log.Format)
	}
}

func (c *config) checkRules(d *decoder) {
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
		for _, name := range r.Match.Route {
			if !slices.ContainsFunc(c.Routes, func(r routeConfig) bool { return r.Name == name }) {
				d.problem(key+".match.route", "there is no route %q", name)
			}
		}
	}
}

func (c *config) checkRoute(d *decoder, i int) {
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
	switch host, _, err := net.SplitHostPort(r.Listen); {
	case r.Listen == "":
		d.problem(key+".listen", "is needed: host:port for the mail client, 127.0.0.1:1587 for example")
	case err != nil || strings.HasPrefix(r.Listen, "unix:") || strings.HasPrefix(r.Listen, "systemd:"):
		d.problem(key+".listen", "%q is not host:port (unix: and systemd: are not available in this version)", r.Listen)
	case !isLoopback(host):
		d.problem(key+".listen", "%q is not a loopback address; others need TLS and client authentication, which are not available in this version", r.Listen)
	}
	c.checkUpstream(d, key+".upstream", &r.Upstream)
}

func (c *config) checkUpstream(d *decoder, key string, u *upstreamConfig) {
	host, port, err := net.SplitHostPort(u.Address)
	switch {
	case u.Address == "":
		d.problem(key+".address", "is needed: host:port of the outgoing mail server, smtp.example.com:587 for example")
		return
	case err != nil || host == "" || port == "":
		d.problem(key+".address", "%q is not host:port", u.Address)
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
	case u.TLS == proxy.TLSNone && !isLoopback(host) && !u.PlaintextUpstream:
		d.problem(key+".tls", "none is for an upstream on this machine; elsewhere mail would travel in the clear")
	}
	switch {
	case u.Auth == "login":
		d.problem(key+".auth", "login is not available in this version")
	case u.Auth != authRelay && u.Auth != authNone:
		d.problem(key+".auth", "%q is none of relay, none", u.Auth)
	case u.PlaintextUpstream && u.Auth != authNone:
		d.problem(key+".plaintext_upstream", "only with auth: none, or passwords would travel in the clear")
	}
	if u.CAFile != "" {
		u.CAFile = d.relative(u.CAFile)
		if _, err := u.rootCAs(); err != nil {
			d.problem(key+".ca_file", "%v", err)
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

// isLoopback reports whether a host in a configuration is this machine.
func isLoopback(host string) bool {
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
	return hostA == hostB || isLoopback(hostA) && hostB == "localhost" || hostA == "localhost" && isLoopback(hostB)
}

// rootCAs are the system's roots and those of ca_file.
func (u *upstreamConfig) rootCAs() (*x509.CertPool, error) {
	if u.CAFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(u.CAFile)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", u.CAFile)
	}
	return pool, nil
}

func (p *policyConfig) settings() policy.Settings {
	var rules []policy.Rule
	for _, r := range p.Rules {
		rules = append(rules, policy.Rule{
			Name:          r.Name,
			Match:         policy.Match(r.Match),
			External:      (*policy.Limit)(r.Limits.External),
			Organisations: (*policy.Limit)(r.Limits.Organisations),
			Total:         (*policy.Limit)(r.Limits.Total),
			Action:        r.Action,
			Override:      r.Override,
			RejectHint:    r.RejectHint,
		})
	}
	return policy.Settings{
		InternalDomains: p.InternalDomains,
		External:        policy.Limit(p.Limits.External),
		Organisations:   policy.Limit(p.Limits.Organisations),
		Total:           policy.Limit(p.Limits.Total),
		Action:          p.Action,
		Override:        p.Override,
		StripBcc:        p.StripBcc,
		BareNewline:     p.BareNewline,
		RejectHint:      p.RejectHint,
		PersonalDomains: p.PersonalDomains,
		Rules:           rules,
	}
}

func (s *serverConfig) limits() proxy.Limits {
	return proxy.Limits{
		Connections: s.Connections, ConnectionsPerClient: s.ConnectionsPerClient, Recipients: s.Recipients,
		HeaderBytes: s.MaxHeaderBytes, LineBytes: s.MaxLineBytes, MessageBytes: int64(s.MessageBytes), BufferBytes: s.BufferBytes,
		Idle: s.Idle, Stall: s.Stall, Connect: s.Connect, UpstreamReply: s.UpstreamReply,
	}
}

// routes makes the routes of a configuration that was checked.
func (c *config) routes() ([]proxy.Route, error) {
	var routes []proxy.Route
	for _, r := range c.Routes {
		roots, err := r.Upstream.rootCAs()
		if err != nil {
			return nil, err
		}
		routes = append(routes, proxy.Route{Name: r.Name, Listen: r.Listen, Upstream: proxy.Upstream{
			Address: r.Upstream.Address, TLS: r.Upstream.TLS, ServerName: r.Upstream.ServerName, RootCAs: roots, Relay: r.Upstream.Auth == authRelay,
		}})
	}
	return routes, nil
}
