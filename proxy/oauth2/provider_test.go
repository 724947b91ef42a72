package oauth2

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sendguard/proxy/oauth2/oauth2test"
)

// TestMain: nothing is left running, but for the library's connection to a real
// session bus, which it keeps for ever.
func TestMain(m *testing.M) {
	if os.Getenv(asKeyring) != "" {
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}

// patience bounds every wait of a test.
const patience = 20 * time.Second

// A provider is one with clients of its own.
type provider struct {
	*oauth2test.Provider
	t *testing.T
}

func newProvider(t *testing.T) *provider { return &provider{oauth2test.New(t), t} }

// custom is the provider as a configuration has it.
func (p *provider) custom() Provider {
	known, _ := ProviderNamed(Custom)
	known.AuthURL, known.TokenURL, known.DeviceURL, known.RevokeURL = p.URL+"/authorize", p.URL+"/token", p.URL+"/device", p.URL+"/revoke"
	known.Scopes, known.AppScopes = []string{"smtp"}, []string{"smtp"}
	return known
}

// client is one with a file for its tokens.
func (p *provider) client(adjust ...func(*Settings)) *Client {
	dir := p.t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil { // whatever the umask
		p.t.Fatal(err)
	}
	s := Settings{Provider: p.custom(), Flow: Code, ClientID: "guard", Mailbox: "tim@mail.example", Store: &fileStore{filepath.Join(dir, "token")}}
	for _, f := range adjust {
		f(&s)
	}
	return New(s)
}

// loggedIn is a client with a refresh token.
func (p *provider) loggedIn(adjust ...func(*Settings)) *Client {
	p.t.Helper()
	c := p.client(adjust...)
	if err := c.Remember(p.t.Context(), &Grant{refresh: p.Grant()}); err != nil {
		p.t.Fatal(err)
	}
	return c
}

// hides fails where a text shows what it must not.
func hides(t testing.TB, what string) {
	t.Helper()
	for _, mark := range []string{"MARK", "tim@mail.example", base64.StdEncoding.EncodeToString([]byte("MARK-access"))[:12]} {
		if strings.Contains(what, mark) {
			t.Errorf("%q shows %q", what, mark)
		}
	}
}
