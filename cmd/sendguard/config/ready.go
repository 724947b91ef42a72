package config

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/netip"
	"os"

	"sendguard/policy"
	"sendguard/proxy"
	"sendguard/proxy/oauth2"
	"sendguard/proxy/upstream"
)

// PolicySettings makes the settings of a configuration that was decoded; whether
// they make sense is for policy.New to say.
func (c *Config) PolicySettings() policy.Settings {
	p := &c.Policy
	var rules []policy.Rule
	for _, r := range p.Rules {
		rule := policy.Rule{
			Name:       r.Name,
			Match:      policy.Match(r.Match),
			Action:     r.Action,
			Override:   r.Override,
			RejectHint: r.RejectHint,
		}
		for c, l := range r.Limits {
			rule.Limits[c] = (*policy.Limit)(l)
		}
		rules = append(rules, rule)
	}
	var limits policy.Limits
	for c, l := range p.Limits {
		limits[c] = policy.Limit(l)
	}
	return policy.Settings{
		Limits:          limits,
		InternalDomains: p.InternalDomains,
		InspectBody:     p.Inspect.Body,
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

// Mistake says what shows to be wrong with a key when its value is used.
func (c *Config) Mistake(key string, err error) error {
	return c.source.mistake(c.source.line(key), key, "%v", err)
}

// ProxyRoutes makes the routes of a configuration that was checked. A command that
// prints a password is killed when ctx ends.
func (c *Config) ProxyRoutes(ctx context.Context) ([]proxy.Route, error) {
	var routes []proxy.Route
	for i, r := range c.Routes {
		key := fmt.Sprintf("routes[%d].upstream.", i)
		roots, err := r.Upstream.rootCAs()
		if err != nil {
			return nil, c.Mistake(key+"ca_file", aboutFile(err, r.Upstream.CAFile))
		}
		upstream := r.Upstream.proxyUpstream(roots)
		upstream.Login, err = r.Upstream.login(ctx, roots)
		switch {
		case err != nil && r.Upstream.OAuth2.Provider != "":
			return nil, c.Mistake(key+"oauth2", aboutFile(err, r.Upstream.OAuth2.Certificate, r.Upstream.OAuth2.Key))
		case err != nil && r.Upstream.PasswordFile != "":
			return nil, c.Mistake(key+"password_file", aboutFile(err, r.Upstream.PasswordFile))
		case err != nil:
			return nil, c.Mistake(key+"password_command", err)
		}
		route := r.proxyRoute(upstream)
		route.LogClient = c.Log.ClientAddress
		routes = append(routes, route)
	}
	return routes, nil
}

// proxyRoute makes the route of a configuration that was checked.
func (r *routeConfig) proxyRoute(upstream upstream.Server) proxy.Route {
	route := proxy.Route{
		Name: r.Name, Listen: r.Listen, SocketMode: os.FileMode(r.Mode), AuthRequired: r.ClientAuth == clientAuthRequired,
		ProxyProtocol: r.ProxyProtocol, UsersFile: r.UsersFile, Upstream: upstream,
	}
	for _, n := range r.Allow {
		route.Allow = append(route.Allow, netip.Prefix(n))
	}
	if r.TLS.Cert != "" {
		route.TLS = &proxy.ClientTLS{CertFile: r.TLS.Cert, KeyFile: r.TLS.Key, Mode: r.TLS.Mode}
	}
	return route
}

// proxyUpstream is where messages go, without the login.
func (u *upstreamConfig) proxyUpstream(roots *x509.CertPool) upstream.Server {
	return upstream.Server{Address: u.Address, TLS: u.TLS, ServerName: u.ServerName, RootCAs: roots, TLSCompatibility: u.TLSCompatibility, Relay: u.Auth == authRelay, MaxIdle: u.MaxIdle}
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

// login is how sendguard logs in at the upstream; nil: it does not.
func (u *upstreamConfig) login(ctx context.Context, roots *x509.CertPool) (*upstream.Login, error) {
	if u.Auth != authLogin {
		return nil, nil
	}
	l := &upstream.Login{Username: u.Username, Password: string(u.Password), Mechanism: upstream.Mechanism(u.Mechanism)}
	var err error
	switch {
	case u.OAuth2.Provider != "":
		var client *oauth2.Client
		if client, err = u.client(roots); err == nil {
			l.Mechanism, l.Tokens = u.tokenMechanism(), oauth2.NewSource(client)
		}
	case u.PasswordFile != "":
		l.Reread = func(context.Context) (string, error) { return readSecret(u.PasswordFile) }
		l.Password, err = readSecret(u.PasswordFile)
	case u.PasswordCommand != "":
		l.Reread = func(ctx context.Context) (string, error) { return runForSecret(ctx, u.PasswordCommand) }
		l.Password, err = l.Reread(ctx)
	}
	return l, err
}
