package setup

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const accounts = "../../../deploy/docs/accounts/"

// pageOf is the page about a preset.
func pageOf(t *testing.T, p Preset) string {
	t.Helper()
	name := p.Name
	if name == "aol" {
		name = "yahoo"
	}
	text, err := os.ReadFile(accounts + name + ".md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestThePagesAboutAccountsSayWhatThePresetsDo: whoever follows a page, and whoever
// runs setup, comes to the same configuration.
func TestThePagesAboutAccountsSayWhatThePresetsDo(t *testing.T) {
	for _, p := range Presets {
		page := pageOf(t, p)
		has := func(pattern string) bool { return regexp.MustCompile(pattern).MatchString(page) }
		if p.Address != "" && !strings.Contains(page, p.Address) {
			t.Errorf("%s: the page has not the address %s", p.Name, p.Address)
		}
		if implicit := strings.HasSuffix(p.Address, ":465"); implicit != has(`(?m)^      tls: implicit$`) {
			t.Errorf("%s: the page has another tls", p.Name)
		}
		if p.CAFile != has(`(?m)^      ca_file: `) {
			t.Errorf("%s: the page has another ca_file", p.Name)
		}
		ways := map[string]bool{
			Relay:  has("`auth: relay`") || has(`(?m)^      address: \S+\n(      (tls|ca_file): \S+\n)*\x60\x60\x60`),
			Login:  has(`password_file:`) || has("`auth: login` with `password_file`"),
			OAuth2: has(`(?m)^        provider: ` + regexp.QuoteMeta(p.Provider) + `$`),
		}
		for _, way := range []string{Relay, OAuth2} {
			if slices.Contains(p.Ways, way) && !ways[way] {
				t.Errorf("%s: the page does not tell of %s", p.Name, way)
			}
		}
		if p.Ways[0] == Login && !ways[Login] {
			t.Errorf("%s: the page does not tell of a login", p.Name)
		}
		if p.Tenant != "" && !has(`(?m)^        tenant: `+p.Tenant+`$`) {
			t.Errorf("%s: the page has another tenant", p.Name)
		}
		if p.Name != Own && slices.Contains(p.Ways, OAuth2) != has(`provider: `) {
			t.Errorf("%s: with oauth2 or not?", p.Name)
		}
	}
}

func TestEveryPageAboutAProviderHasAPreset(t *testing.T) {
	files, err := filepath.Glob(accounts + "*.md")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".md")
		if _, known := Named(name); !known && name != "README" && name != "thunderbird" {
			t.Errorf("no preset for %s", path)
		}
	}
}

func TestAPresetIsFoundByDomainAndByServer(t *testing.T) {
	for domain, want := range map[string]string{
		"gmail.com": "gmail", "googlemail.com": "gmail", "yahoo.com": "yahoo", "yahoo.co.uk": "yahoo", "hotmail.fr": "outlook", "outlook.com": "outlook",
		"firm.onmicrosoft.com": "microsoft-365", "me.com": "icloud", "pm.me": "proton", "aol.de": "aol", "fastmail.fm": "fastmail",
		"yahoo.example.org": "", "notgmail.com": "", "onmicrosoft.com": "", "example.com": "", "": "", "yahoo.": "",
	} {
		if p, _ := ForDomain(domain); p.Name != want {
			t.Errorf("%q is %q, want %q", domain, p.Name, want)
		}
	}
	for address, want := range map[string]string{"smtp.gmail.com:465": "gmail", "SMTP.GMAIL.COM.:587": "gmail", "127.0.0.1:1025": "", "smtp.example.com:587": "", "": ""} {
		if p, _ := ForServer(address); p.Name != want {
			t.Errorf("%q is %q, want %q", address, p.Name, want)
		}
	}
}

func TestEachPresetCanBeUsed(t *testing.T) {
	for _, p := range Presets {
		if len(p.Ways) == 0 || p.Title == "" {
			t.Errorf("%s: no way, or no title", p.Name)
		}
		for _, way := range p.Ways {
			if way == OAuth2 && (p.Provider == "" || p.Register == "") || way != OAuth2 && p.Password == "" {
				t.Errorf("%s: what does %s take?", p.Name, way)
			}
		}
		for line := range strings.SplitSeq(p.Register, "\n") {
			if len(line) > columns {
				t.Errorf("%s: a line is too long: %q", p.Name, line)
			}
		}
	}
}
