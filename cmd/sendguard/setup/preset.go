package setup

import (
	"net"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// Ways to log in at the provider. With Relay and Login they are the values of
// upstream.auth; OAuth2 is a login with tokens in place of a password.
const (
	Relay  = "relay"  // the mail program's own login goes upstream
	Login  = "login"  // sendguard logs in, with a password
	OAuth2 = "oauth2" // sendguard logs in, with a token
)

// A Preset is what is known of a provider. deploy/docs/accounts says the same, with
// its sources; a test compares.
type Preset struct {
	Name     string   // of its page there, but for AOL
	Title    string   // for a person
	Domains  []string // of its addresses; "yahoo.*": under every public suffix
	Address  string   // host:port; "": it is to be asked for
	Varies   bool     // Address is an example: each customer, or machine, has another
	CAFile   bool     // its certificate is signed by none that machines know
	Ways     []string // to log in, the one with the least work first
	Password string   // what it takes for a password
	Provider string   // of oauth2
	Tenant   string   // of oauth2; "": the person's own, where there is one
	Register string   // how to get a client_id
}

// Own is the preset for a server that is none of those in the table.
const Own = "own-server"

// Presets are those that are known, the most used ones first.
var Presets = []Preset{
	{
		Name: "gmail", Title: "Gmail or Google Workspace", Domains: []string{"gmail.com", "googlemail.com"},
		Address: "smtp.gmail.com:587", Ways: []string{Relay, OAuth2, Login},
		Password: "an app password (needs 2-step verification; support.google.com/accounts/answer/185833)",
		Provider: "google",
		Register: "In the Google Cloud console make a project, its consent screen, and an OAuth\nclient ID of type Desktop app: it has a client ID and a client secret.",
	},
	{
		Name: "microsoft-365", Title: "Microsoft 365, work or school", Domains: []string{"*.onmicrosoft.com"},
		Address: "smtp.office365.com:587", Ways: []string{OAuth2},
		Provider: "microsoft",
		Register: "In the Entra admin center register an app: platform Mobile and desktop\napplications, redirect address http://localhost, public client flows allowed,\ndelegated permission SMTP.Send. SMTP AUTH has to be on for the mailbox.",
	},
	{
		Name: "outlook", Title: "outlook.com, hotmail.com, live.com", Domains: []string{"outlook.*", "hotmail.*", "live.*", "msn.com"},
		Address: "smtp-mail.outlook.com:587", Ways: []string{OAuth2},
		Provider: "microsoft", Tenant: "consumers",
		Register: "In the Entra admin center register an app for personal Microsoft accounts:\nplatform Mobile and desktop applications, redirect address http://localhost,\npublic client flows allowed, delegated permission SMTP.Send.",
	},
	{
		Name: "icloud", Title: "iCloud", Domains: []string{"icloud.com", "me.com", "mac.com"},
		Address: "smtp.mail.me.com:587", Ways: []string{Relay, Login},
		Password: "an app-specific password (account.apple.com, Sign-In and Security)",
	},
	{
		Name: "yahoo", Title: "Yahoo", Domains: []string{"yahoo.*", "ymail.com", "rocketmail.com"},
		Address: "smtp.mail.yahoo.com:465", Ways: []string{Relay, Login},
		Password: "an app password (in the account's security settings)",
	},
	{
		Name: "aol", Title: "AOL", Domains: []string{"aol.*"},
		Address: "smtp.aol.com:465", Ways: []string{Relay, Login},
		Password: "an app password (in the account's security settings)",
	},
	{
		Name: "fastmail", Title: "Fastmail", Domains: []string{"fastmail.com", "fastmail.fm"},
		Address: "smtp.fastmail.com:587", Ways: []string{Relay, OAuth2, Login},
		Password: "an app password (Settings, Privacy & Security, Integrations)",
		Provider: "fastmail",
		Register: "Write to Fastmail's developers: they register clients by hand.",
	},
	{
		Name: "proton", Title: "Proton, through Proton Mail Bridge", Domains: []string{"proton.me", "protonmail.com", "protonmail.ch", "pm.me"},
		Address: "127.0.0.1:1025", Varies: true, CAFile: true, Ways: []string{Relay, Login},
		Password: "the password that Bridge shows",
	},
	{
		Name: "amazon-ses", Title: "Amazon SES",
		Address: "email-smtp.eu-central-1.amazonaws.com:587", Varies: true, Ways: []string{Login, Relay},
		Password: "the password of SMTP credentials (made in the SES console)",
	},
	{
		Name: Own, Title: "another server", Ways: []string{Relay, Login},
		Password: "the account's password",
	},
}

// Named finds the preset of a name.
func Named(name string) (Preset, bool) {
	return first(func(p Preset) bool { return p.Name == name })
}

// ForDomain finds the preset of the addresses of a domain.
func ForDomain(domain string) (Preset, bool) {
	return first(func(p Preset) bool {
		return slices.ContainsFunc(p.Domains, func(pattern string) bool { return matches(pattern, domain) })
	})
}

// ForServer finds the preset whose server a host:port is.
func ForServer(address string) (Preset, bool) {
	return first(func(p Preset) bool { return !p.Varies && p.Address != "" && hostOf(p.Address) == hostOf(address) })
}

func first(holds func(Preset) bool) (Preset, bool) {
	if i := slices.IndexFunc(Presets, holds); i >= 0 {
		return Presets[i], true
	}
	return Preset{}, false
}

// matches reports whether a domain, in lower case, is of a pattern: a domain,
// *.domain for those below it, or name.* for a name under every public suffix.
func matches(pattern, domain string) bool {
	if brand, ok := strings.CutSuffix(pattern, ".*"); ok {
		rest, ok := strings.CutPrefix(domain, brand+".")
		suffix, _ := publicsuffix.PublicSuffix(rest)
		return ok && rest != "" && suffix == rest // yahoo.co.uk, not yahoo.example.org
	}
	if below, ok := strings.CutPrefix(pattern, "*"); ok {
		return strings.HasSuffix(domain, below)
	}
	return pattern == domain
}

// hostOf is the host of host:port, in lower case.
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
