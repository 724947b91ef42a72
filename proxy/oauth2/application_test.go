package oauth2

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func secretly(context.Context) (string, error) { return "MARK:sec/ret", nil }

// asApplication is a client without a person.
func asApplication(flow Flow, signer *Signer) func(*Settings) {
	return func(s *Settings) { s.Flow, s.Store, s.Signer = flow, nil, signer }
}

func TestAnApplicationProvesItselfWithASecret(t *testing.T) {
	p := newProvider(t)
	withSecret := func(s *Settings) { s.Secret = secretly }
	mustToken(t, NewSource(p.client(asApplication(ClientCredentials, nil), withSecret)))
	form, header := p.Last(), p.Header(0).Get("Authorization")
	if want := "Basic " + base64.StdEncoding.EncodeToString([]byte("guard:MARK%3Asec%2Fret")); header != want || form.Get("client_secret") != "" {
		t.Errorf("a custom provider gets %q, and in its form %q", header, form.Get("client_secret"))
	}
	if form.Get("scope") != "smtp" {
		t.Errorf("scope is %q", form.Get("scope"))
	}
	known := func(s *Settings) {
		s.Provider, _ = ProviderNamed("microsoft")
		s.Provider.TokenURL = p.URL + "/token"
	}
	mustToken(t, NewSource(p.client(asApplication(ClientCredentials, nil), withSecret, known)))
	if form := p.Last(); form.Get("client_secret") != "MARK:sec/ret" || form.Get("scope") != "https://outlook.office365.com/.default" {
		t.Errorf("Microsoft gets %v", form)
	}
	unreadable := func(s *Settings) { s.Secret = func(context.Context) (string, error) { return "", errors.New("MARK") } }
	if _, err := NewSource(p.client(asApplication(ClientCredentials, nil), unreadable)).Token(t.Context()); err == nil || err.Error() != "the client secret cannot be read" {
		t.Errorf("got %v", err)
	}
}

func writePEM(t *testing.T, path, kind string, der []byte) string {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func newKey(t *testing.T) (*rsa.PrivateKey, []byte) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}

func TestAnApplicationProvesItselfWithACertificate(t *testing.T) {
	key, der := newKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "guard"}, NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	signer, err := CertificateSigner(writePEM(t, dir+"/cert.pem", "CERTIFICATE", certificate), writePEM(t, dir+"/key.pem", "PRIVATE KEY", der))
	if err != nil {
		t.Fatal(err)
	}
	p := newProvider(t)
	mustToken(t, NewSource(p.client(asApplication(ClientCredentials, signer))))
	form, claims := p.Last(), jwt.RegisteredClaims{}
	if form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || form.Get("client_id") != "guard" || form.Get("client_secret") != "" {
		t.Errorf("it gets %v", form)
	}
	token, err := jwt.ParseWithClaims(form.Get("client_assertion"), &claims, func(*jwt.Token) (any, error) { return &key.PublicKey, nil },
		jwt.WithValidMethods([]string{"PS256"}), jwt.WithAudience(p.URL+"/token"), jwt.WithIssuer("guard"), jwt.WithSubject("guard"), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(certificate)
	if token.Header["x5t#S256"] != base64.RawURLEncoding.EncodeToString(sum[:]) || claims.ID == "" {
		t.Errorf("header %v, claims %v", token.Header, claims)
	}
}

func TestAServiceAccountSpeaksForTheMailbox(t *testing.T) {
	key, der := newKey(t)
	file := filepath.Join(t.TempDir(), "key.json")
	account := map[string]string{"type": "service_account", "client_email": "robot@project.example", "private_key_id": "k1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": "http://evil.example/token"}
	text, _ := json.Marshal(account)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	signer, err := AccountSigner(file)
	if err != nil {
		t.Fatal(err)
	}
	p := newProvider(t)
	p.Mailbox = ""
	s, clock := withClock(p.client(asApplication(ServiceAccount, signer)))
	first := mustToken(t, s)
	claims := jwt.MapClaims{}
	token, err := jwt.ParseWithClaims(p.Last().Get("assertion"), claims, func(*jwt.Token) (any, error) { return &key.PublicKey, nil }, jwt.WithValidMethods([]string{"RS256"}))
	if err != nil {
		t.Fatal(err)
	}
	if claims["iss"] != "robot@project.example" || claims["sub"] != "tim@mail.example" || claims["scope"] != "smtp" || claims["aud"] != p.URL+"/token" || token.Header["kid"] != "k1" {
		t.Errorf("header %v, claims %v", token.Header, claims)
	}
	clock.pass(2 * time.Hour)
	if mustToken(t, s) == first {
		t.Error("it has ended")
	}
	p.SetFault(says(401, `{"error":"unauthorized_client","error_description":"MARK"}`))
	if _, err := NewSource(p.client(asApplication(ServiceAccount, signer))).Token(t.Context()); err == nil || err.Error() != "the provider says unauthorized_client: the client is not registered for this flow, or may not speak for the mailbox" {
		t.Errorf("got %v", err)
	}
	for _, wrong := range []string{"{}", "no JSON", `{"type":"service_account","client_email":"a@b"}`, `{"type":"authorized_user","client_email":"a@b"}`} {
		os.WriteFile(file, []byte(wrong), 0o600)
		if _, err := AccountSigner(file); err == nil {
			t.Errorf("%s is taken", wrong)
		}
	}
}
