package oauth2

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/oauth2"
	googlejwt "golang.org/x/oauth2/jwt"
)

// A Signer proves who a client is without a secret that travels.
type Signer struct {
	key        crypto.PrivateKey
	thumbprint string // of the certificate; "": Google's key file
	account    serviceAccount
	pem        []byte
}

// A serviceAccount is what of Google's key file is needed. Its token_uri is not:
// whoever could change the file could have the assertion sent elsewhere.
type serviceAccount struct {
	Type  string `json:"type"`
	Email string `json:"client_email"`
	ID    string `json:"private_key_id"`
	Key   string `json:"private_key"`
}

const (
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" // RFC 7523 section 2.2
	assertionTime = 5 * time.Minute
)

// CertificateSigner reads a certificate that the provider knows, and its key.
func CertificateSigner(certificate, key string) (*Signer, error) {
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	if _, ok := pair.PrivateKey.(*rsa.PrivateKey); !ok {
		return nil, errors.New("its key is no RSA key")
	}
	sum := sha256.Sum256(pair.Certificate[0])
	return &Signer{key: pair.PrivateKey, thumbprint: base64.RawURLEncoding.EncodeToString(sum[:])}, nil
}

// AccountSigner reads the key file of a service account.
func AccountSigner(path string) (*Signer, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := &Signer{}
	if err := json.Unmarshal(text, &s.account); err != nil || s.account.Type != "service_account" || s.account.Email == "" {
		return nil, fmt.Errorf("%s is not the key file of a service account", path)
	}
	s.pem = []byte(s.account.Key)
	if _, err := jwt.ParseRSAPrivateKeyFromPEM(s.pem); err != nil {
		return nil, fmt.Errorf("%s holds no private key", path)
	}
	return s, nil
}

// assert signs that it is the client who asks (RFC 7523 section 3; PS256 and the
// thumbprint as Microsoft wants them).
func (s *Signer) assert(client, audience string) (string, error) {
	now := time.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodPS256, jwt.RegisteredClaims{
		Issuer: client, Subject: client, Audience: jwt.ClaimStrings{audience}, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(assertionTime)),
	})
	token.Header["x5t#S256"] = s.thumbprint
	signed, err := token.SignedString(s.key)
	if err != nil {
		return "", &Fault{Kind: Failed, text: "the assertion cannot be signed"}
	}
	return signed, nil
}

// impersonate gets a token for the mailbox with the word of a service account that
// may speak for it.
func (c *Client) impersonate(ctx context.Context) (*oauth2.Token, error) {
	config := googlejwt.Config{
		Email: c.Signer.account.Email, PrivateKey: c.Signer.pem, PrivateKeyID: c.Signer.account.ID,
		Subject: c.Mailbox, Scopes: c.Provider.AppScopes, TokenURL: c.Provider.TokenURL,
	}
	token, err := config.TokenSource(c.with(ctx)).Token()
	return token, c.fault(err)
}
