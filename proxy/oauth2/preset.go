package oauth2

import (
	"slices"
	"strings"
)

// A Flow is how a token is got.
type Flow string

const (
	Code              Flow = "code"               // a person signs in in a browser: RFC 6749 section 4.1, with PKCE
	Device            Flow = "device"             // a person signs in on another device: RFC 8628
	ClientCredentials Flow = "client_credentials" // an application without a person: RFC 6749 section 4.4
	ServiceAccount    Flow = "service_account"    // one that speaks for a mailbox: RFC 7523 section 2.1
)

// Flows lists all that there are.
var Flows = []Flow{Code, Device, ClientCredentials, ServiceAccount}

// Personal reports whether a flow needs a person, whose token is then kept.
func (f Flow) Personal() bool { return f == Code || f == Device }

// A Provider is what is known of one that gives tokens.
type Provider struct {
	Name      string
	AuthURL   string // TENANT in the addresses stands for the organisation's
	TokenURL  string
	DeviceURL string
	RevokeURL string            // RFC 7009; "": it cannot
	Tenant    string            // the usual one; "": it has none
	Scopes    []string          // for a person
	AppScopes []string          // for an application
	Flows     []Flow            // that it has for mail
	Mechanism string            // of SASL, that it takes a token with; "": as the server offers
	Localhost bool              // redirects to http://localhost, else to http://127.0.0.1
	Asking    map[string]string // further parameters of the question to a person
	Secret    bool              // wants a client secret where a person signs in, too
}

// Custom is the provider whose addresses stand in the configuration.
const Custom = "custom"

// Providers are those that are known. Sources: the providers' own pages, which
// deploy/docs/accounts names.
var Providers = []Provider{
	{
		Name:      "microsoft",
		AuthURL:   "https://login.microsoftonline.com/TENANT/oauth2/v2.0/authorize",
		TokenURL:  "https://login.microsoftonline.com/TENANT/oauth2/v2.0/token",
		DeviceURL: "https://login.microsoftonline.com/TENANT/oauth2/v2.0/devicecode",
		Tenant:    "common",
		Scopes:    []string{"https://outlook.office.com/SMTP.Send", "offline_access", "openid", "profile", "email"},
		AppScopes: []string{"https://outlook.office365.com/.default"},
		Flows:     []Flow{Code, Device, ClientCredentials},
		Mechanism: "XOAUTH2",
		Localhost: true, // it takes any port there, and elsewhere the registered one alone
	},
	{
		Name:      "google",
		AuthURL:   "https://accounts.google.com/o/oauth2/v2/auth",
		TokenURL:  "https://oauth2.googleapis.com/token",
		RevokeURL: "https://oauth2.googleapis.com/revoke",
		Scopes:    []string{"https://mail.google.com/", "openid", "email"},
		AppScopes: []string{"https://mail.google.com/"},
		Flows:     []Flow{Code, ServiceAccount},
		Mechanism: "XOAUTH2",
		Asking:    map[string]string{"access_type": "offline", "prompt": "consent"}, // or there is no refresh token
		Secret:    true,
	},
	{
		Name:      "fastmail",
		AuthURL:   "https://api.fastmail.com/oauth/authorize",
		TokenURL:  "https://api.fastmail.com/oauth/refresh",
		Scopes:    []string{"https://www.fastmail.com/dev/protocol-smtp"},
		Flows:     []Flow{Code},
		Localhost: true,
	},
	{
		Name:  Custom,
		Flows: Flows,
	},
}

// ProviderNamed finds one.
func ProviderNamed(name string) (Provider, bool) {
	i := slices.IndexFunc(Providers, func(p Provider) bool { return p.Name == name })
	if i < 0 {
		return Provider{}, false
	}
	return Providers[i], true
}

// At returns the provider as it is for a tenant; "" is the usual one.
func (p Provider) At(tenant string) Provider {
	if tenant == "" {
		tenant = p.Tenant
	}
	for _, address := range []*string{&p.AuthURL, &p.TokenURL, &p.DeviceURL} {
		*address = strings.ReplaceAll(*address, "TENANT", tenant)
	}
	return p
}
