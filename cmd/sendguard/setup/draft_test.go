package setup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

func TestAConfigurationHasOnlyWhatIsNotTheDefault(t *testing.T) {
	text, err := Draft{Listen: "127.0.0.1:1587", Address: "smtp.example.com:587", Way: Relay}.YAML()
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for line := range strings.SplitSeq(string(text), "\n") {
		if key, _, is := strings.Cut(strings.TrimSpace(line), ":"); is && !strings.HasPrefix(key, "#") {
			keys = append(keys, key)
		}
	}
	if got := strings.Join(keys, " "); got != "routes - name listen upstream address" {
		t.Errorf("%s:\n%s", got, text)
	}
}

// TestAConfigurationSaysWhatWasAnswered: whatever characters an answer has, and a
// dollar sign, which would be a variable, is doubled.
func TestAConfigurationSaysWhatWasAnswered(t *testing.T) {
	odd := `a b#c: "d" 'e' \f [g], {h} ${HOME} $1 %i @j`
	d := Draft{
		Listen: "127.0.0.1:1588", Metrics: "127.0.0.1:9588", Address: "smtp.example.com:465", TLS: "implicit", CAFile: odd, Way: OAuth2, Username: odd,
		PasswordFile: "-odd", PasswordCommand: "pass show mail | head -1", Provider: "google", Tenant: "true", ClientID: "0x10", ClientSecretFile: odd, Store: "file:" + odd,
		Internal: []string{"example.com", ".example.com", "no"}, Limit: "3",
	}
	text, err := d.YAML()
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Routes []struct {
			Listen   string
			Upstream struct {
				Address, TLS, Auth, Username string
				CAFile                       string `yaml:"ca_file"`
				PasswordFile                 string `yaml:"password_file"`
				PasswordCommand              string `yaml:"password_command"`
				OAuth2                       struct {
					Provider, Tenant, Store string
					ClientID                string `yaml:"client_id"`
					ClientSecretFile        string `yaml:"client_secret_file"`
				} `yaml:"oauth2"`
			}
		}
		Policy struct {
			InternalDomains []string `yaml:"internal_domains"`
			Limits          map[string]int
		}
		Metrics struct{ Listen string }
	}
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	u, escaped := c.Routes[0].Upstream, strings.ReplaceAll(odd, "$", "$$")
	got := []string{c.Routes[0].Listen, c.Metrics.Listen, u.Address, u.TLS, u.CAFile, u.Auth, u.Username, u.PasswordFile, u.PasswordCommand, u.OAuth2.Provider, u.OAuth2.Tenant, u.OAuth2.ClientID, u.OAuth2.ClientSecretFile, u.OAuth2.Store}
	want := []string{d.Listen, d.Metrics, d.Address, d.TLS, escaped, "login", escaped, d.PasswordFile, d.PasswordCommand, d.Provider, d.Tenant, d.ClientID, escaped, "file:" + escaped}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%q, want %q in\n%s", got[i], want[i], text)
		}
	}
	if strings.Join(c.Policy.InternalDomains, " ") != "example.com .example.com no" || c.Policy.Limits["external"] != 3 {
		t.Errorf("%v\n%s", c.Policy, text)
	}
}

// TestTheExampleNamesTheCommandsThatItIsReadBy keeps the first lines true.
func TestTheFirstLinesOfAConfigurationAreTrue(t *testing.T) {
	text, err := Draft{Way: Relay}.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join("..", "..", "..", "config.example.yaml")); err != nil || !strings.Contains(string(text), "config.example.yaml") {
		t.Errorf("%v\n%s", err, text)
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if len(line) > columns {
			t.Errorf("too long: %q", line)
		}
	}
}
