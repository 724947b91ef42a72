package config

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"sendguard/proxy/oauth2"
	"sendguard/proxy/upstream"
)

// An oauth2Config is how the tokens are got that sendguard logs in with; none
// without a provider.
type oauth2Config struct {
	Provider            string      `yaml:"provider"`
	Flow                oauth2.Flow `yaml:"flow"`
	ClientID            string      `yaml:"client_id"`
	ClientSecret        secret      `yaml:"client_secret"`
	ClientSecretFile    string      `yaml:"client_secret_file"`
	ClientSecretCommand string      `yaml:"client_secret_command"`
	Certificate         string      `yaml:"certificate"`
	Key                 string      `yaml:"key"`
	Tenant              string      `yaml:"tenant"`
	RedirectURL         string      `yaml:"redirect_url"`
	Store               string      `yaml:"store"`
	AuthURL             string      `yaml:"auth_url"`
	TokenURL            string      `yaml:"token_url"`
	DeviceURL           string      `yaml:"device_url"`
	RevokeURL           string      `yaml:"revoke_url"`
	Scopes              []string    `yaml:"scopes"`
}

func defaultOAuth2() oauth2Config {
	return oauth2Config{Flow: oauth2.Code, Store: oauth2.Keyring}
}

// isSet reports whether the configuration says anything about it.
func (o *oauth2Config) isSet() bool {
	given := *o
	if len(given.Scopes) == 0 {
		given.Scopes = nil
	}
	return !reflect.DeepEqual(given, defaultOAuth2())
}

// checkOAuth2 checks what belongs to oauth2. No command is run and no provider asked.
func (r *routeConfig) checkOAuth2(d *decoder, key string) {
	u := &r.Upstream
	o := &u.OAuth2
	if !o.isSet() {
		return
	}
	p, known := oauth2.ProviderNamed(o.Provider)
	switch {
	case u.Auth != authLogin:
		d.problem(key, "only with auth: login")
		return
	case !known:
		d.problem(key+".provider", "%q is none of %s", o.Provider, providerNames())
		return
	case !slices.Contains(oauth2.Flows, o.Flow):
		d.problem(key+".flow", "%q is none of %s", o.Flow, flowNames(oauth2.Flows))
		return
	case !slices.Contains(p.Flows, o.Flow):
		d.problem(key+".flow", "%s has no %s for mail, only %s", words(p.Name), words(o.Flow), flowNames(p.Flows))
		return
	case u.Mechanism != "" && !upstream.Mechanism(u.Mechanism).TakesToken():
		d.problem(key, "not with mechanism: %s, a token is no password", words(strings.ToLower(string(u.Mechanism))))
	}
	o.checkClient(d, key, p)
	o.checkAddresses(d, key, p)
	o.checkStore(d, key, p, u.Username)
	r.checkWhoMaySend(d, key)
}

// checkWhoMaySend keeps a person's mailbox from being everybody's.
func (r *routeConfig) checkWhoMaySend(d *decoder, key string) {
	where, problem := r.reach()
	if problem == "" && r.Upstream.OAuth2.Flow.Personal() && r.UsersFile == "" && (where == reachOthers || r.ProxyProtocol) {
		d.problem(key+".flow", "%s is a person's mailbox, and other machines come here: it needs a users_file, or listen on this machine alone", words(r.Upstream.OAuth2.Flow))
	}
}

// checkClient checks how the client proves who it is.
func (o *oauth2Config) checkClient(d *decoder, key string, p oauth2.Provider) {
	secrets := 0
	for _, given := range []bool{o.ClientSecret != "", o.ClientSecretFile != "", o.ClientSecretCommand != ""} {
		if given {
			secrets++
		}
	}
	hasKey := o.Certificate != "" || o.Key != ""
	switch {
	case o.ClientID == "" && o.Flow != oauth2.ServiceAccount:
		d.problem(key+".client_id", "is needed: what the provider calls the application that you register there")
	case secrets > 1:
		d.problem(key+".client_secret", "is there more than once: one of client_secret, client_secret_file and client_secret_command")
	case o.Flow == oauth2.ServiceAccount && (o.Key == "" || o.Certificate != "" || secrets > 0):
		d.problem(key+".key", "service_account needs the key file of the service account, and nothing else")
	case o.Flow == oauth2.ClientCredentials && secrets == 0 && !hasKey, o.Flow == oauth2.ClientCredentials && secrets > 0 && hasKey:
		d.problem(key+".flow", "client_credentials needs a client_secret, or a certificate and its key")
	case o.Flow.Personal() && hasKey:
		d.problem(key+".key", "a certificate or key is for client_credentials and service_account")
	case o.Flow.Personal() && p.Secret && secrets == 0:
		d.problem(key+".client_secret", "is needed: %s gives one with the client_id", words(p.Name))
	}
	o.ClientSecretFile, o.Certificate, o.Key = d.relativeIf(o.ClientSecretFile), d.relativeIf(o.Certificate), d.relativeIf(o.Key)
	if o.ClientSecretFile != "" {
		if _, err := readSecret(o.ClientSecretFile); err != nil {
			d.problem(key+".client_secret_file", "%v", aboutFile(err, o.ClientSecretFile))
		}
	}
	if _, err := o.signer(); hasKey && err != nil {
		d.problem(key+".key", "%v", aboutFile(err, o.Certificate, o.Key))
	}
}

// relativeIf is relative where there is a path.
func (d *decoder) relativeIf(path string) string {
	if path == "" {
		return ""
	}
	return d.relative(path)
}

// tenantName is the id or a domain of an organisation, or one of Microsoft's words.
var tenantName = regexp.MustCompile(`^[A-Za-z0-9.-]{1,100}$`)

// checkAddresses checks where the provider is.
func (o *oauth2Config) checkAddresses(d *decoder, key string, p oauth2.Provider) {
	custom := p.Name == oauth2.Custom
	for _, a := range []struct {
		name, value string
		needed      bool
	}{
		{"auth_url", o.AuthURL, o.Flow == oauth2.Code}, {"token_url", o.TokenURL, true}, {"device_url", o.DeviceURL, o.Flow == oauth2.Device}, {"revoke_url", o.RevokeURL, false},
	} {
		u, err := url.Parse(a.value)
		switch {
		case !custom && a.value != "":
			d.problem(key+"."+a.name, "only with provider: custom; that of %s is known", words(p.Name))
		case custom && a.needed && a.value == "":
			d.problem(key+"."+a.name, "is needed with provider: custom and flow: %s", words(o.Flow))
		case a.value != "" && (err != nil || u.Host == "" || u.Scheme != "https" && !oauth2.IsLoopback(u)):
			d.problem(key+"."+a.name, "must be an https address, or one of this machine")
		}
	}
	switch {
	case !custom && len(o.Scopes) > 0:
		d.problem(key+".scopes", "only with provider: custom; those of %s are known", words(p.Name))
	case o.Tenant != "" && p.Tenant == "":
		d.problem(key+".tenant", "%s has none", words(p.Name))
	case o.Tenant != "" && !tenantName.MatchString(o.Tenant):
		d.problem(key+".tenant", "is not the id or the domain of an organisation")
	case p.Tenant != "" && !o.Flow.Personal() && (o.Tenant == "" || o.Tenant == p.Tenant):
		d.problem(key+".tenant", "is needed with flow: %s: the organisation's id", words(o.Flow))
	}
	if u, err := url.Parse(o.RedirectURL); o.RedirectURL != "" && (err != nil || u.Host == "" || u.Fragment != "" || u.Scheme != "https" && !oauth2.IsLoopback(u)) {
		d.problem(key+".redirect_url", "must be an address of this machine, as http://localhost:PORT/, or, for sendguard login --paste, an https address")
	}
}

// checkStore checks where a person's token is kept. Other flows keep nothing. Whether
// it can be written to is for Try.
func (o *oauth2Config) checkStore(d *decoder, key string, p oauth2.Provider, mailbox string) {
	if path, ok := strings.CutPrefix(o.Store, oauth2.FilePrefix); ok && path != "" {
		o.Store = oauth2.FilePrefix + d.relative(path)
	}
	if _, err := oauth2.OpenStore(o.Store, o.at(p), o.ClientID, mailbox); err != nil {
		d.problem(key+".store", "%v", err)
	}
}

// tryStore is an error where a person's token could not be kept.
func (u *upstreamConfig) tryStore() error {
	p, _ := oauth2.ProviderNamed(u.OAuth2.Provider)
	store, err := oauth2.OpenStore(u.OAuth2.Store, u.OAuth2.at(p), u.OAuth2.ClientID, u.Username)
	if err != nil {
		return err
	}
	return store.Check()
}

func providerNames() words {
	var names []string
	for _, p := range oauth2.Providers {
		names = append(names, p.Name)
	}
	return words(strings.Join(names, ", "))
}

func flowNames(flows []oauth2.Flow) words {
	var names []string
	for _, f := range flows {
		names = append(names, string(f))
	}
	return words(strings.Join(names, ", "))
}

// at is the provider with what the configuration says of it.
func (o *oauth2Config) at(p oauth2.Provider) oauth2.Provider {
	if p.Name == oauth2.Custom {
		p.AuthURL, p.TokenURL, p.DeviceURL, p.RevokeURL = o.AuthURL, o.TokenURL, o.DeviceURL, o.RevokeURL
		p.Scopes, p.AppScopes = o.Scopes, o.Scopes
	}
	return p.At(o.Tenant)
}

// signer signs for the client; nil: it does not.
func (o *oauth2Config) signer() (*oauth2.Signer, error) {
	switch {
	case o.Flow == oauth2.ServiceAccount:
		return oauth2.AccountSigner(o.Key)
	case o.Certificate != "" || o.Key != "":
		return oauth2.CertificateSigner(o.Certificate, o.Key)
	}
	return nil, nil
}

// clientSecret reads the client's secret anew each time: they expire.
func (o *oauth2Config) clientSecret() func(context.Context) (string, error) {
	switch {
	case o.ClientSecretFile != "":
		return func(context.Context) (string, error) { return readSecret(o.ClientSecretFile) }
	case o.ClientSecretCommand != "":
		return func(ctx context.Context) (string, error) { return runForSecret(ctx, o.ClientSecretCommand) }
	case o.ClientSecret != "":
		return func(context.Context) (string, error) { return string(o.ClientSecret), nil }
	}
	return nil
}

// client makes what asks the provider, of a configuration that was checked.
func (u *upstreamConfig) client(roots *x509.CertPool) (*oauth2.Client, error) {
	o := u.OAuth2
	p, _ := oauth2.ProviderNamed(o.Provider)
	p = o.at(p)
	s := oauth2.Settings{Provider: p, Flow: o.Flow, ClientID: o.ClientID, Secret: o.clientSecret(), RedirectURL: o.RedirectURL, Mailbox: u.Username, RootCAs: roots}
	var err error
	if s.Signer, err = o.signer(); err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	if o.Flow.Personal() {
		if s.Store, err = oauth2.OpenStore(o.Store, p, o.ClientID, u.Username); err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
	}
	return oauth2.New(s), nil
}

// tokenMechanism is how the token is given: as the configuration says, or the provider
// wants it, or the server offers.
func (u *upstreamConfig) tokenMechanism() upstream.Mechanism {
	p, _ := oauth2.ProviderNamed(u.OAuth2.Provider)
	switch {
	case u.Mechanism != "":
		return upstream.Mechanism(u.Mechanism)
	case p.Mechanism != "":
		return upstream.Mechanism(p.Mechanism)
	}
	return upstream.AnyToken
}

// A LoginRoute is a route whose tokens a person logs in for.
type LoginRoute struct {
	Name     string
	Mailbox  string
	Store    string
	Flow     oauth2.Flow
	Client   *oauth2.Client
	Upstream upstream.Server // without its Login
	With     upstream.Mechanism
}

// LoginRoutes lists the routes with oauth2 of a configuration that was checked.
func (c *Config) LoginRoutes() ([]LoginRoute, error) {
	var routes []LoginRoute
	for i := range c.Routes {
		u, key := &c.Routes[i].Upstream, fmt.Sprintf("routes[%d].upstream.", i)
		if u.OAuth2.Provider == "" {
			continue
		}
		roots, err := u.rootCAs()
		if err != nil {
			return nil, c.Mistake(key+"ca_file", aboutFile(err, u.CAFile))
		}
		client, err := u.client(roots)
		if err != nil {
			return nil, c.Mistake(key+"oauth2", aboutFile(err, u.OAuth2.Certificate, u.OAuth2.Key))
		}
		routes = append(routes, LoginRoute{c.Routes[i].Name, u.Username, u.OAuth2.Store, u.OAuth2.Flow, client, u.proxyUpstream(roots), u.tokenMechanism()})
	}
	return routes, nil
}

// Notes are what is no mistake, and who writes the configuration should know.
func (c *Config) Notes() (notes []string) {
	for _, r := range c.Routes {
		if where, _ := r.reach(); r.Upstream.OAuth2.Provider != "" && where == reachHere && r.UsersFile == "" {
			notes = append(notes, fmt.Sprintf("route %s: every account of this machine may send as the mailbox; with listen: unix:/PATH (mode: \"0600\") or a users_file only who should", r.Name))
		}
	}
	return notes
}
