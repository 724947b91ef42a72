package config

import (
	"strconv"
	"time"

	"sendguard/policy"
	"sendguard/proxy/upstream"
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
		Level         string `yaml:"level"`
		Format        string `yaml:"format"`
		ClientAddress bool   `yaml:"client_address"`
	} `yaml:"log"`

	source *decoder // where it comes from; nil: nowhere
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

// A clientTLSConfig is how mail clients secure their connections; none without
// a certificate.
type clientTLSConfig struct {
	Cert string           `yaml:"cert"`
	Key  string           `yaml:"key"`
	Mode upstream.TLSMode `yaml:"mode"`
}

type upstreamConfig struct {
	Address           string           `yaml:"address"`
	TLS               upstream.TLSMode `yaml:"tls"`
	ServerName        string           `yaml:"server_name"`
	CAFile            string           `yaml:"ca_file"`
	TLSCompatibility  bool             `yaml:"tls_compatibility"`
	PlaintextUpstream bool             `yaml:"plaintext_upstream"`
	Auth              string           `yaml:"auth"`
	Username          string           `yaml:"username"`
	Password          secret           `yaml:"password"`
	PasswordFile      string           `yaml:"password_file"`
	PasswordCommand   string           `yaml:"password_command"`
	Mechanism         mechanism        `yaml:"mechanism"`
	OAuth2            oauth2Config     `yaml:"oauth2"`
	MaxIdle           int              `yaml:"max_idle_connections"`
}

type policyConfig struct {
	InternalDomains []string           `yaml:"internal_domains"`
	PersonalDomains []string           `yaml:"personal_domains"`
	Limits          limits             `yaml:"limits"`
	Action          policy.Action      `yaml:"action"`
	Override        bool               `yaml:"override"`
	StripBcc        bool               `yaml:"strip_bcc"`
	BareNewline     policy.BareNewline `yaml:"bare_newline"`
	RejectHint      string             `yaml:"reject_hint"`
	Individual      struct {
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
	Limits     ruleLimits    `yaml:"limits,omitempty"`
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
	WatchConfig          bool          `yaml:"watch_config"`
}

// Default is the configuration of an empty file; it has no routes.
func Default() Config {
	var c Config
	c.Policy = policyConfig{Action: policy.Reject, Override: true, StripBcc: true, BareNewline: policy.RejectBare}
	c.Policy.Individual.TimeBudget, c.Policy.Individual.State = time.Minute, "memory"
	for counted, none := range policy.NoLimits() {
		c.Policy.Limits[counted] = limit(none)
	}
	c.Policy.Limits[policy.External] = 10
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
	return routeConfig{Name: "route" + strconv.Itoa(n+1), Mode: defaultMode, TLS: clientTLSConfig{Mode: upstream.TLSStartTLS},
		Upstream: upstreamConfig{TLS: upstream.TLSStartTLS, Auth: authRelay, OAuth2: defaultOAuth2(), MaxIdle: 4}}
}

const (
	authRelay = "relay"
	authLogin = "login"
	authNone  = "none"
)

// defaultMode lets in nobody else.
const defaultMode fileMode = 0o600
