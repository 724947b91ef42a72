package setup

import (
	"bytes"
	"strings"
	"text/template"

	"gopkg.in/yaml.v3"
)

// A Draft is what is to stand in a configuration; what is left empty does not.
type Draft struct {
	Listen  string
	Metrics string // metrics.listen, where the default is taken by somebody else

	Address string
	TLS     string // "" where it is starttls
	CAFile  string

	Way             string // Relay, Login or OAuth2
	Username        string
	PasswordFile    string
	PasswordCommand string

	Provider         string
	Tenant           string
	ClientID         string
	ClientSecretFile string
	Store            string // "" where it is the keyring

	Internal []string
	Limit    string // of outside addresses, a number or unlimited; "" where it is the default
}

// YAML is the configuration, for a person to read and to go on with.
func (d Draft) YAML() ([]byte, error) {
	t, err := template.New("draft").Funcs(template.FuncMap{"quote": quote, "list": list}).Parse(draftText)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	err = t.Execute(&text, d)
	return text.Bytes(), err
}

const draftText = `# Written by sendguard setup. Every key and its default: config.example.yaml.
# After a change: sendguard config, then sendguard reload.
routes:
  - name: mail
    listen: {{quote .Listen}}  # the outgoing server of your mail program
    upstream:
      address: {{quote .Address}}  # the real one
{{- with .TLS}}
      tls: {{quote .}}{{if eq . "implicit"}}  # from the start{{end}}
{{- end}}
{{- with .CAFile}}
      ca_file: {{quote .}}  # who has signed its certificate
{{- end}}
{{- if ne .Way "relay"}}
      auth: login  # sendguard logs in, not your mail program
      username: {{quote .Username}}
{{- end}}
{{- with .PasswordFile}}
      password_file: {{quote .}}
{{- end}}
{{- with .PasswordCommand}}
      password_command: {{quote .}}
{{- end}}
{{- if eq .Way "oauth2"}}
      oauth2:
        provider: {{quote .Provider}}
{{- with .Tenant}}
        tenant: {{quote .}}
{{- end}}
        client_id: {{quote .ClientID}}
{{- with .ClientSecretFile}}
        client_secret_file: {{quote .}}
{{- end}}
{{- with .Store}}
        store: {{quote .}}  # where the token is kept
{{- end}}
{{- end}}
{{- if or .Internal .Limit}}
policy:
{{- with .Internal}}
  internal_domains: {{list .}}  # their addresses are inside
{{- end}}
{{- with .Limit}}
  limits: {{print "{external: " . "}"}}  # most outside addresses that recipients may see
{{- end}}
{{- end}}
{{- with .Metrics}}
metrics:
  listen: {{quote .}}
{{- end}}
`

// quote writes a value so that the loader reads it as it is: a dollar sign would
// begin a variable.
func quote(value string) (string, error) {
	text, err := yaml.Marshal(flow(strings.ReplaceAll(value, "$", "$$")))
	return strings.TrimSpace(string(text)), err
}

// list writes values in one line.
func list(values []string) (string, error) {
	var quoted []string
	for _, v := range values {
		q, err := quote(v)
		if err != nil {
			return "", err
		}
		quoted = append(quoted, q)
	}
	return "[" + strings.Join(quoted, ", ") + "]", nil
}

// flow is a value that is written in one line, and in quotation marks where it could
// be read as anything but this text.
func flow(value string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value}
	if strings.ContainsAny(value, "\n,[]{}&*#?|<>=!%@\\`\"'") || strings.HasPrefix(value, "-") || strings.Contains(value, ": ") {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}
