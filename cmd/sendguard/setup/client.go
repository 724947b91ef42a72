package setup

import (
	"net/url"
	"strings"
	"text/template"
)

// A Client is a mail program, or a language for programs of one's own.
type Client struct {
	Name, Title string
	settings    string // a template; it takes a Guard
}

// A Guard is what a mail program has to know.
type Guard struct {
	Host, Port string
	From       string // address of the account
	Login      bool   // the mail program logs in, as before
}

// Other is the client for all that is not in the table.
const Other = "other"

// Clients are those whose settings are known.
var Clients = []Client{
	{"thunderbird", "Thunderbird", `Account Settings, Outgoing Server (SMTP), Edit:

  Server Name              {{.Host}}
  Port                     {{.Port}}
  Connection security      None
  Authentication method    {{if .Login}}Password, transmitted insecurely
  User Name                {{.From}}{{else}}No authentication{{end}}
`},
	{"apple-mail", "Apple Mail", `Settings, Accounts, Server Settings, Outgoing Mail Server; switch off
"Automatically manage connection settings":

  Host Name                {{.Host}}
  Port                     {{.Port}}
  Use TLS/SSL              off
  Authentication           {{if .Login}}Password
  User Name                {{.From}}
  Allow insecure authentication  on{{else}}None{{end}}
`},
	{"mutt", "mutt", `In ~/.muttrc:

  set smtp_url = "smtp://{{if .Login}}{{urlUser .From}}@{{end}}{{.Host}}:{{.Port}}/"
  set ssl_starttls = no
  set ssl_force_tls = no
{{- if .Login}}
  set smtp_authenticators = "plain"
{{- end}}
  set from = "{{.From}}"
`},
	{"msmtp", "msmtp", `In ~/.msmtprc:

  account default
  host {{.Host}}
  port {{.Port}}
  tls off
  from {{.From}}
{{- if .Login}}
  auth plain
  user {{.From}}
{{- else}}
  auth off
{{- end}}
`},
	{"python", "a Python program", `In the program, message being an email.message.EmailMessage:

  import smtplib

  with smtplib.SMTP("{{.Host}}", {{.Port}}) as server:
{{- if .Login}}
      server.login("{{.From}}", password)
{{- end}}
      server.send_message(message)
`},
	{"node", "a Node program (nodemailer)", `In the program:

  const transport = require("nodemailer").createTransport({
    host: "{{.Host}}",
    port: {{.Port}},
    ignoreTLS: true,
{{- if .Login}}
    auth: { user: "{{.From}}", pass: password },
{{- end}}
  });
`},
	{Other, "another", `Where it asks for the outgoing server (SMTP):

  Server                   {{.Host}}
  Port                     {{.Port}}
  Connection security      none
  Authentication           {{if .Login}}password (PLAIN or LOGIN)
  User name                {{.From}}{{else}}none{{end}}
`},
}

// ClientNamed finds the client of a name.
func ClientNamed(name string) (Client, bool) {
	for _, c := range Clients {
		if c.Name == name {
			return c, true
		}
	}
	return Client{}, false
}

// Settings is what to enter where, for a person.
func (c Client) Settings(g Guard) (string, error) {
	t, err := template.New(c.Name).Funcs(template.FuncMap{"urlUser": urlUser}).Parse(c.settings)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	err = t.Execute(&text, g)
	return text.String(), err
}

// urlUser is a user name as it stands in a URL.
func urlUser(name string) string { return strings.ReplaceAll(url.PathEscape(name), "@", "%40") }
