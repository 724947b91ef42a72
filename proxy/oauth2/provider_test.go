package oauth2

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"
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

// A provider gives tokens as real ones do. A refresh token that was traded in is
// good no more, and whoever shows it again ends all that came from it.
type provider struct {
	*httptest.Server
	t testing.TB
	// fault may answer a request for a token itself.
	fault func(w http.ResponseWriter, r *http.Request) bool
	// lenient leaves old refresh tokens valid, static gives no new ones.
	lenient, static bool
	life            any // expires_in; nil: none
	mailbox         string
	issuer          string // iss; "": its own
	deny            string // error in place of a code
	pending         int    // polls until somebody has signed in

	mu      sync.Mutex
	n       int
	valid   string            // refresh token
	old     map[string]bool   // those that were traded in
	codes   map[string]string // and their challenges
	forms   []url.Values      // of what was asked at the token endpoint
	headers []http.Header
	secrets []string // all that must not be seen anywhere
}

func newProvider(t testing.TB) *provider {
	t.Helper()
	p := &provider{t: t, life: 3600, mailbox: "tim@mail.example", old: map[string]bool{}, codes: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/authorize", p.authorize)
	mux.HandleFunc("/token", p.token)
	mux.HandleFunc("/device", p.device)
	mux.HandleFunc("/revoke", p.revoke)
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

// custom is the provider as a configuration has it.
func (p *provider) custom() Provider {
	known, _ := ProviderNamed(Custom)
	known.AuthURL, known.TokenURL, known.DeviceURL, known.RevokeURL = p.URL+"/authorize", p.URL+"/token", p.URL+"/device", p.URL+"/revoke"
	known.Scopes, known.AppScopes = []string{"smtp"}, []string{"smtp"}
	return known
}

// client is one with a file for its tokens.
func (p *provider) client(adjust ...func(*Settings)) *Client {
	s := Settings{Provider: p.custom(), Flow: Code, ClientID: "guard", Mailbox: "tim@mail.example", Store: &fileStore{filepath.Join(p.t.TempDir(), "token")}}
	for _, f := range adjust {
		f(&s)
	}
	return New(s)
}

// loggedIn is a client with a refresh token.
func (p *provider) loggedIn(adjust ...func(*Settings)) *Client {
	p.t.Helper()
	c := p.client(adjust...)
	if err := c.Remember(p.t.Context(), &Grant{refresh: p.grant()}); err != nil {
		p.t.Fatal(err)
	}
	return c
}

// grant makes a refresh token.
func (p *provider) grant() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.valid = p.secret("refresh")
	return p.valid
}

// secret makes one with a mark; mu is held.
func (p *provider) secret(kind string) string {
	p.n++
	s := fmt.Sprintf("MARK-%s-%d", kind, p.n)
	p.secrets = append(p.secrets, s)
	return s
}

func (p *provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	p.mu.Lock()
	defer p.mu.Unlock()
	if q.Get("code_challenge_method") != "S256" || q.Get("response_type") != "code" || q.Get("client_id") != "guard" || q.Get("state") == "" {
		http.Error(w, "not as it should be", http.StatusBadRequest)
		return
	}
	back, _ := url.Parse(q.Get("redirect_uri"))
	answer := url.Values{"state": {q.Get("state")}, "iss": {p.URL}}
	if p.issuer != "" {
		answer.Set("iss", p.issuer)
	}
	if p.deny != "" {
		answer.Set("error", p.deny)
		answer.Set("error_description", "MARK for tim@mail.example")
	} else {
		code := p.secret("code")
		p.codes[code] = q.Get("code_challenge") + " " + q.Get("redirect_uri")
		answer.Set("code", code)
	}
	back.RawQuery = answer.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	r.ParseForm()
	p.mu.Lock()
	p.forms, p.headers = append(p.forms, r.PostForm), append(p.headers, r.Header)
	fault := p.fault
	p.mu.Unlock()
	if fault != nil && fault(w, r) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	form := r.PostForm
	switch form.Get("grant_type") {
	case "authorization_code":
		want, ok := p.codes[form.Get("code")]
		delete(p.codes, form.Get("code"))
		sum := sha256.Sum256([]byte(form.Get("code_verifier")))
		if !ok || want != base64.RawURLEncoding.EncodeToString(sum[:])+" "+form.Get("redirect_uri") {
			p.refuse(w, "invalid_grant")
			return
		}
		p.answer(w, true)
	case "refresh_token":
		p.refreshed(w, form.Get("refresh_token"))
	case "urn:ietf:params:oauth:grant-type:device_code":
		if p.pending--; p.pending >= 0 {
			p.refuse(w, "authorization_pending")
			return
		}
		p.answer(w, true)
	case "client_credentials", "urn:ietf:params:oauth:grant-type:jwt-bearer":
		p.answer(w, false)
	default:
		p.refuse(w, "unsupported_grant_type")
	}
}

func (p *provider) refreshed(w http.ResponseWriter, token string) {
	switch {
	case p.lenient && p.old[token]:
	case p.old[token]: // somebody has stolen it
		p.valid = ""
		p.refuse(w, "invalid_grant")
		return
	case token != p.valid || token == "":
		p.refuse(w, "invalid_grant")
		return
	}
	p.answer(w, !p.static)
}

func (p *provider) answer(w http.ResponseWriter, withRefresh bool) {
	said := map[string]any{"access_token": p.secret("access"), "token_type": "Bearer"}
	if p.life != nil {
		said["expires_in"] = p.life
	}
	if withRefresh {
		p.old[p.valid] = true
		p.valid = p.secret("refresh")
		said["refresh_token"] = p.valid
	}
	if p.mailbox != "" {
		said["id_token"], _ = jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"preferred_username": p.mailbox}).SignedString([]byte("k"))
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(said)
}

func (p *provider) refuse(w http.ResponseWriter, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": "AADSTS70000: MARK for tim@mail.example"})
}

func (p *provider) device(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{"device_code": p.secret("device"), "user_code": "ABCD-\x1b[2JEFGH", "verification_uri": p.URL + "/device", "expires_in": 60, "interval": 1})
}

func (p *provider) revoke(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.FormValue("token") == p.valid {
		p.valid = ""
	}
}

// calls counts what was asked at the token endpoint.
func (p *provider) calls() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.forms)
}

func (p *provider) last() url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.forms[len(p.forms)-1]
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
