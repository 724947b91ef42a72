package oauth2

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// Settings say whose tokens are got, and from where.
type Settings struct {
	Provider    Provider // At its tenant
	Flow        Flow
	ClientID    string
	Secret      func(context.Context) (string, error) // of the client; nil: it has none
	Signer      *Signer                               // of assertions; nil: none
	RedirectURL string                                // exactly as it is registered; "": any port of this machine
	Mailbox     string
	RootCAs     *x509.CertPool // nil: the system's
	Store       Store          // of a person's refresh token; nil with a flow that has none
}

// A Client asks a provider.
type Client struct {
	Settings
	http *http.Client
}

// callTime bounds one call to a provider.
const callTime = 20 * time.Second

// New makes a client. It goes through the proxy of the environment, and nowhere
// that it was not told to: what it sends is worth more than the answer.
func New(s Settings) *Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: s.RootCAs, MinVersion: tls.VersionTLS12}
	transport.DisableKeepAlives = true // it is asked once an hour
	return &Client{s, &http.Client{
		Transport:     transport,
		Timeout:       callTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// with puts the client's way to the provider into a context, where the library
// looks for it.
func (c *Client) with(ctx context.Context) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, c.http)
}

// config is what the library wants to know for a flow with a person.
func (c *Client) config(ctx context.Context) (*oauth2.Config, error) {
	secret, err := c.secret(ctx)
	if err != nil {
		return nil, err
	}
	return &oauth2.Config{
		ClientID:     c.ClientID,
		ClientSecret: secret,
		Scopes:       c.Provider.Scopes,
		Endpoint:     oauth2.Endpoint{AuthURL: c.Provider.AuthURL, TokenURL: c.Provider.TokenURL, DeviceAuthURL: c.Provider.DeviceURL, AuthStyle: c.style(secret)},
	}, nil
}

// style is how the client says who it is. The library would try both ways, and so
// use up a token that may be used once. A provider that takes a secret has to take
// it in the header (RFC 6749 section 2.3.1); those that are known take it in the
// body, where a client without one has its name.
func (c *Client) style(secret string) oauth2.AuthStyle {
	if secret == "" || c.Provider.Name != Custom {
		return oauth2.AuthStyleInParams
	}
	return oauth2.AuthStyleInHeader
}

func (c *Client) secret(ctx context.Context) (string, error) {
	if c.Secret == nil {
		return "", nil
	}
	secret, err := c.Secret(ctx)
	if err != nil {
		return "", &Fault{Kind: Failed, text: "the client secret cannot be read"}
	}
	return secret, nil
}

// refresh gets a token with the one that was kept.
func (c *Client) refresh(ctx context.Context, kept string) (*oauth2.Token, error) {
	config, err := c.config(ctx)
	if err != nil {
		return nil, err
	}
	token, err := config.TokenSource(c.with(ctx), &oauth2.Token{RefreshToken: kept}).Token()
	return token, c.fault(err)
}

// apply gets a token for an application.
func (c *Client) apply(ctx context.Context) (*oauth2.Token, error) {
	if c.Flow == ServiceAccount {
		return c.impersonate(ctx)
	}
	secret, err := c.secret(ctx)
	if err != nil {
		return nil, err
	}
	config := clientcredentials.Config{ClientID: c.ClientID, ClientSecret: secret, TokenURL: c.Provider.TokenURL, Scopes: c.Provider.AppScopes, AuthStyle: c.style(secret)}
	if c.Signer != nil {
		assertion, err := c.Signer.assert(c.ClientID, c.Provider.TokenURL)
		if err != nil {
			return nil, err
		}
		config.EndpointParams = url.Values{"client_assertion": {assertion}, "client_assertion_type": {assertionType}}
	}
	token, err := config.Token(c.with(ctx))
	return token, c.fault(err)
}

// revoke has the provider forget a token (RFC 7009).
func (c *Client) revoke(ctx context.Context, token string) error {
	secret, err := c.secret(ctx)
	if err != nil {
		return err
	}
	form := url.Values{"token": {token}, "token_type_hint": {"refresh_token"}}
	basic := c.style(secret) == oauth2.AuthStyleInHeader
	if !basic {
		form.Set("client_id", c.ClientID)
		if secret != "" {
			form.Set("client_secret", secret)
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Provider.RevokeURL, strings.NewReader(form.Encode()))
	if err != nil {
		return &Fault{Kind: Failed, text: "its address for revocation is none"}
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if basic {
		request.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(secret))
	}
	response, err := c.http.Do(request)
	if err != nil {
		return c.fault(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return &Fault{Kind: Failed, text: "it refused (" + statusText(response.StatusCode) + ")"}
	}
	return nil
}

// asking are the further parameters of the question to a person.
func (c *Client) asking() (options []oauth2.AuthCodeOption) {
	for _, name := range slices.Sorted(maps.Keys(c.Provider.Asking)) {
		options = append(options, oauth2.SetAuthURLParam(name, c.Provider.Asking[name]))
	}
	if c.Mailbox != "" {
		options = append(options, oauth2.SetAuthURLParam("login_hint", c.Mailbox))
	}
	return options
}
