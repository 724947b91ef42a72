package config

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"sendguard/policy"
	"sendguard/proxy"
)

// A Config is the configuration file. What it says about each key is in
// config.example.yaml.
type Config struct {
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
	Name          string          `yaml:"name"`
	Listen        string          `yaml:"listen"`
	Mode          fileMode        `yaml:"mode"`
	TLS           clientTLSConfig `yaml:"tls"`
	Allow         []network       `yaml:"allow"`
	ClientAuth    string          `yaml:"client_auth"`
	UsersFile     string          `yaml:"users_file"`
	ProxyProtocol bool            `yaml:"proxy_protocol"`
	Upstream      upstreamConfig  `yaml:"upstream"`
}

type upstreamConfig struct {
	Address           string        `yaml:"address"`
	TLS               proxy.TLSMode `yaml:"tls"`
	ServerName        string        `yaml:"server_name"`
	CAFile            string        `yaml:"ca_file"`
	PlaintextUpstream bool          `yaml:"plaintext_upstream"`
	Auth              string        `yaml:"auth"`
	Username          string        `yaml:"username"`
	Password          secret        `yaml:"password"`
	PasswordFile      string        `yaml:"password_file"`
	PasswordCommand   string        `yaml:"password_command"`
	MaxIdle           int           `yaml:"max_idle_connections"`
}

type policyConfig struct {
	InternalDomains []string `yaml:"internal_domains"`
	PersonalDomains []string `yaml:"personal_domains"`
	Limits          struct {
		External      limit `yaml:"external"`
		Organisations limit `yaml:"organisations"`
		Total         limit `yaml:"total"`
		Body          limit `yaml:"body"`
	} `yaml:"limits"`
	Action      policy.Action      `yaml:"action"`
	Override    bool               `yaml:"override"`
	StripBcc    bool               `yaml:"strip_bcc"`
	BareNewline policy.BareNewline `yaml:"bare_newline"`
	RejectHint  string             `yaml:"reject_hint"`
	Individual  struct {
		TimeBudget time.Duration `yaml:"time_budget"`
		State      state         `yaml:"state"`
	} `yaml:"individual"`
	Inspect struct {
		Body bool `yaml:"body"`
	} `yaml:"inspect"`
	Rules []ruleConfig `yaml:"rules"`
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
		User     []string `yaml:"user,omitempty"`
	} `yaml:"match"`
	Limits struct {
		External      *limit `yaml:"external,omitempty"`
		Organisations *limit `yaml:"organisations,omitempty"`
		Total         *limit `yaml:"total,omitempty"`
		Body          *limit `yaml:"body,omitempty"`
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
	SpoolDir             string        `yaml:"spool_dir"`
	Idle                 time.Duration `yaml:"idle"`
	Stall                time.Duration `yaml:"stall"`
	Connect              time.Duration `yaml:"connect"`
	UpstreamReply        time.Duration `yaml:"upstream_reply"`
	Shutdown             time.Duration `yaml:"shutdown"`
}

// Default is the configuration of an empty file; it has no routes.
func Default() Config {
	var c Config
	c.Policy = policyConfig{Action: policy.Reject, Override: true, StripBcc: true, BareNewline: policy.RejectBare}
	c.Policy.Individual.TimeBudget, c.Policy.Individual.State = time.Minute, "memory"
	c.Policy.Limits.External = 10
	c.Policy.Limits.Organisations = limit(policy.Unlimited)
	c.Policy.Limits.Total = limit(policy.Unlimited)
	c.Policy.Limits.Body = limit(policy.Unlimited)
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
	return routeConfig{Name: "route" + strconv.Itoa(n+1), Mode: defaultMode, TLS: clientTLSConfig{Mode: proxy.TLSStartTLS},
		Upstream: upstreamConfig{TLS: proxy.TLSStartTLS, Auth: authRelay, MaxIdle: 4}}
}

const (
	authRelay = "relay"
	authLogin = "login"
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

// A state names where unfinished sends are remembered.
type state string

var statePassword = regexp.MustCompile(`://.*@`) // it may hold an @ itself

// MarshalYAML hides the password of a Redis server.
func (s state) MarshalYAML() (any, error) {
	return statePassword.ReplaceAllString(string(s), "://(hidden)@"), nil
}

// Find returns the path of the configuration file: the one that was
// named, or the first that there is.
func Find(named string) (string, error) {
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

// Load reads and checks the configuration. The error has a line for each
// thing that is wrong, with file, line and key. Where the configuration could be
// decoded and only makes no sense, it is returned beside the error.
func Load(named string) (*Config, error) {
	path, err := Find(named)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c := Default()
	d := decoder{file: path}
	d.decode(text, &c)
	if len(d.problems) > 0 {
		return nil, d.err()
	}
	c.check(&d)
	return &c, d.err()
}

// Print writes the configuration as it is in force, its secrets hidden.
func (c *Config) Print(w io.Writer) error {
	out := yaml.NewEncoder(w)
	out.SetIndent(2)
	return errors.Join(out.Encode(c), out.Close())
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

// PolicySettings makes the settings of a configuration that was decoded; whether
// they make sense is for policy.New to say.
func (c *Config) PolicySettings() policy.Settings {
	p := &c.Policy
	var rules []policy.Rule
	for _, r := range p.Rules {
		rules = append(rules, policy.Rule{
			Name:          r.Name,
			Match:         policy.Match(r.Match),
			External:      (*policy.Limit)(r.Limits.External),
			Organisations: (*policy.Limit)(r.Limits.Organisations),
			Total:         (*policy.Limit)(r.Limits.Total),
			Body:          (*policy.Limit)(r.Limits.Body),
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
		InspectBody:     p.Inspect.Body,
		Body:            policy.Limit(p.Limits.Body),
		Action:          p.Action,
		Override:        p.Override,
		StripBcc:        p.StripBcc,
		BareNewline:     p.BareNewline,
		RejectHint:      p.RejectHint,
		PersonalDomains: p.PersonalDomains,
		Rules:           rules,
	}
}

// ProxyLimits makes the limits of a configuration that was checked.
func (c *Config) ProxyLimits() proxy.Limits {
	s := &c.Server
	return proxy.Limits{
		Connections: s.Connections, ConnectionsPerClient: s.ConnectionsPerClient, Recipients: s.Recipients,
		HeaderBytes: s.MaxHeaderBytes, LineBytes: s.MaxLineBytes, MessageBytes: int64(s.MessageBytes), BufferBytes: s.BufferBytes, SpoolDir: s.SpoolDir,
		Idle: s.Idle, Stall: s.Stall, Connect: s.Connect, UpstreamReply: s.UpstreamReply, TimeBudget: c.Policy.Individual.TimeBudget,
	}
}

// ProxyRoutes makes the routes of a configuration that was checked. A command that
// prints a password is killed when ctx ends.
func (c *Config) ProxyRoutes(ctx context.Context) ([]proxy.Route, error) {
	var routes []proxy.Route
	for i, r := range c.Routes {
		roots, err := r.Upstream.rootCAs()
		if err != nil {
			return nil, err
		}
		login, err := r.Upstream.login(ctx)
		if err != nil {
			return nil, fmt.Errorf("routes[%d].upstream: %w", i, err)
		}
		routes = append(routes, r.proxyRoute(proxy.Upstream{
			Address: r.Upstream.Address, TLS: r.Upstream.TLS, ServerName: r.Upstream.ServerName, RootCAs: roots, Relay: r.Upstream.Auth == authRelay,
			Login: login, MaxIdle: r.Upstream.MaxIdle,
		}))
	}
	return routes, nil
}
