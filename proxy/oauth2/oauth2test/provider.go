// Package oauth2test has a provider of OAuth2 tokens for tests. All its secrets begin
// with Mark, so that a test can look for them where they must not be.
package oauth2test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// Mark begins every secret.
const Mark = "MARK"

// A Provider gives tokens as real ones do. A refresh token that was traded in is
// good no more, and whoever shows it again ends all logins. Another login leaves the
// one before it alone.
type Provider struct {
	*httptest.Server
	t testing.TB
	// Lenient leaves old refresh tokens valid, Static gives no new ones.
	Lenient, Static bool
	Life            any // expires_in; nil: none
	Mailbox         string
	Issuer          string // iss; "": its own
	Deny            string // error in place of a code
	Pending         int    // polls until somebody has signed in

	mu       sync.Mutex
	fault    func(w http.ResponseWriter, r *http.Request) bool
	answered func()
	n        int
	valid    string            // refresh token
	earlier  string            // that of the login before
	access   map[string]bool   // tokens that were given
	old      map[string]bool   // refresh tokens that were traded in
	codes    map[string]string // and their challenges
	forms    []url.Values      // of what was asked at the token endpoint
	headers  []http.Header
}

// New starts one.
func New(t testing.TB) *Provider {
	t.Helper()
	p := &Provider{t: t, Life: 3600, Mailbox: "tim@mail.example", old: map[string]bool{}, codes: map[string]string{}, access: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/authorize", p.authorize)
	mux.HandleFunc("/token", p.token)
	mux.HandleFunc("/device", p.device)
	mux.HandleFunc("/revoke", p.revoke)
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

// Grant makes a refresh token, as a login does.
func (p *Provider) Grant() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.valid = p.secret("refresh")
	return p.valid
}

// secret makes one with a mark; mu is held.
func (p *Provider) secret(kind string) string {
	p.n++
	s := fmt.Sprintf("MARK-%s-%d", kind, p.n)
	return s
}

func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	p.mu.Lock()
	defer p.mu.Unlock()
	if q.Get("code_challenge_method") != "S256" || q.Get("response_type") != "code" || q.Get("client_id") != "guard" || q.Get("state") == "" {
		http.Error(w, "not as it should be", http.StatusBadRequest)
		return
	}
	back, _ := url.Parse(q.Get("redirect_uri"))
	answer := url.Values{"state": {q.Get("state")}, "iss": {p.URL}}
	if p.Issuer != "" {
		answer.Set("iss", p.Issuer)
	}
	if p.Deny != "" {
		answer.Set("error", p.Deny)
		answer.Set("error_description", "MARK for tim@mail.example")
	} else {
		code := p.secret("code")
		p.codes[code] = q.Get("code_challenge") + " " + q.Get("redirect_uri")
		answer.Set("code", code)
	}
	back.RawQuery = answer.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}

// SetFault has f see each request for a token first: it may answer itself, and then
// returns true. nil: nobody does.
func (p *Provider) SetFault(f func(w http.ResponseWriter, r *http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
}

// SetAnswered has f called when a refresh token was traded in, before the answer is
// on its way. nil: nothing is.
func (p *Provider) SetAnswered(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answered = f
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
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
		p.signedIn(w)
	case "refresh_token":
		p.refreshed(w, form.Get("refresh_token"))
	case "urn:ietf:params:oauth:grant-type:device_code":
		if p.Pending--; p.Pending >= 0 {
			p.refuse(w, "authorization_pending")
			return
		}
		p.signedIn(w)
	case "client_credentials", "urn:ietf:params:oauth:grant-type:jwt-bearer":
		p.answer(w, nil)
	default:
		p.refuse(w, "unsupported_grant_type")
	}
}

func (p *Provider) signedIn(w http.ResponseWriter) {
	p.earlier = p.valid
	p.answer(w, &p.valid)
}

func (p *Provider) refreshed(w http.ResponseWriter, token string) {
	login := &p.valid
	if token == p.earlier {
		login = &p.earlier
	}
	switch {
	case p.Lenient && p.old[token]:
	case p.old[token]: // somebody has stolen it
		p.valid, p.earlier = "", ""
		p.refuse(w, "invalid_grant")
		return
	case token != *login || token == "":
		p.refuse(w, "invalid_grant")
		return
	}
	if p.Static {
		login = nil
	} else {
		p.old[*login] = true
	}
	p.answer(w, login)
	if p.answered != nil {
		p.answered()
	}
}

// answer gives tokens. The refresh token takes the place of a login's; nil: none is given.
func (p *Provider) answer(w http.ResponseWriter, login *string) {
	access := p.secret("access")
	p.access[access] = true
	said := map[string]any{"access_token": access, "token_type": "Bearer"}
	if p.Life != nil {
		said["expires_in"] = p.Life
	}
	if login != nil {
		*login = p.secret("refresh")
		said["refresh_token"] = *login
	}
	if p.Mailbox != "" {
		said["id_token"], _ = jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"preferred_username": p.Mailbox}).SignedString([]byte("k"))
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(said)
}

func (p *Provider) refuse(w http.ResponseWriter, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": "AADSTS70000: MARK for tim@mail.example"})
}

func (p *Provider) device(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{"device_code": p.secret("device"), "user_code": "ABCD-\x1b[2JEFGH", "verification_uri": p.URL + "/device", "expires_in": 60, "interval": 1})
}

func (p *Provider) revoke(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.FormValue("token") == p.valid {
		p.valid = ""
	}
}

// Calls counts what was asked at the token endpoint.
func (p *Provider) Calls() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.forms)
}

// Last is what was asked there the last time.
func (p *Provider) Last() url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.forms[len(p.forms)-1]
}

// Header is that of what was asked the nth time.
func (p *Provider) Header(n int) http.Header {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.headers[n]
}

// Valid is the refresh token that is good.
func (p *Provider) Valid() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.valid
}

// Revoke ends the login.
func (p *Provider) Revoke() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.valid, p.earlier = "", ""
}

// Takes reports whether an access token is one of its own.
func (p *Provider) Takes(token string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.access[token]
}

// Spoil has no access token that was given so far be taken any more.
func (p *Provider) Spoil() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.access = map[string]bool{}
}
