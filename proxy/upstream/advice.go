package upstream

import (
	"encoding/base64"
	"strings"
)

// An advice is what to do about a refusal that a provider gives when something is
// switched off, or was not granted.
type advice struct {
	status string // enhanced; "": any
	words  string // a part of what is said, in lower case; "": any
	text   string
}

// advices are tried in order. Sources: the providers' own pages, which
// deploy/docs/accounts names.
var advices = []advice{
	{"5.7.30", "", "this server takes no password any more: use oauth2"},
	{"5.7.139", "disabled for the tenant", "SMTP AUTH is off for the organisation: Set-TransportConfig -SmtpClientAuthenticationDisabled $false, or for the one mailbox: Set-CASMailbox -Identity MAILBOX -SmtpClientAuthenticationDisabled $false"},
	{"5.7.139", "disabled for the mailbox", "SMTP AUTH is off for this mailbox: Set-CASMailbox -Identity MAILBOX -SmtpClientAuthenticationDisabled $false"},
	{"5.7.139", "basic authentication is disabled", "passwords are switched off for this mailbox: use oauth2"},
	{"5.7.139", "", "the organisation's policy forbids it (security defaults, an authentication policy, Conditional Access), or the password is wrong: use oauth2"},
	{"5.7.3", "", "the user name or the password is wrong; with oauth2: username is not the mailbox that was signed in to, the scope is not SMTP.Send, or the application's service principal or its right to the mailbox is missing in Exchange"},
	{"5.7.57", "", "nobody logged in: the mail client needs a login, or the route auth: login"},
	{"5.7.60", "", "the sender's address is not this mailbox's: an administrator grants Send As"},
	{"", "sendasdenied", "the sender's address is not this mailbox's: an administrator grants Send As"},
	{"5.7.9", "application-specific password required", "Google takes no account password here: use an app password, or oauth2"},
	{"5.7.8", "username and password not accepted", "Google takes an app password here, or oauth2, and no account password"},
	{"5.7.14", "log in via your web browser", "Google wants the account's owner to sign in with a browser first: use an app password, or oauth2"},
}

// Advise returns what to do about a refusal; "": that is not known here.
func Advise(r Reply) string {
	if r.Code < 500 {
		return ""
	}
	code, words := r.Enhanced()
	words = strings.ToLower(words)
	for _, a := range advices {
		if (a.status == "" || strings.HasSuffix(code, " "+a.status)) && strings.Contains(words, a.words) {
			return a.text
		}
	}
	return ""
}

// telling is how many octets of a secret tell of it.
const telling = 16

// shows reports whether a text has the secret in it, or so much of a long one: as
// it is, or in base64, wherever in a group of three octets it begins there (RFC 4648
// section 4).
func shows(text, secret string) bool {
	if has(text, secret) {
		return true
	}
	for begin := range 3 {
		whole := secret[min((3-begin)%3, len(secret)):] // what stands in whole groups
		if has(text, base64.StdEncoding.EncodeToString([]byte(whole[:len(whole)/3*3]))) {
			return true
		}
	}
	return false
}

// has reports whether a text has another one in it, or a telling piece of it.
func has(text, other string) bool {
	if len(other) <= telling {
		return other != "" && strings.Contains(text, other)
	}
	for at := range len(other) - telling + 1 {
		if strings.Contains(text, other[at:at+telling]) {
			return true
		}
	}
	return false
}
