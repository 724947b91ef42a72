package oauth2

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"golang.org/x/oauth2"
)

// An attempt is one question to a person, and what its answer must have.
type attempt struct {
	client   *Client
	config   *oauth2.Config
	state    string
	verifier string
}

// errNotAsked is an answer to a question that was not put here: from another
// account of this machine, or a page that wants a login of its own choice kept.
var errNotAsked = errors.New("this answers another question")

func (c *Client) attempt(ctx context.Context, redirect string) (*attempt, error) {
	config, err := c.config(ctx)
	if err != nil {
		return nil, err
	}
	config.RedirectURL = redirect
	return &attempt{c, config, rand.Text(), oauth2.GenerateVerifier()}, nil
}

// question is the address at which the provider asks.
func (a *attempt) question() string {
	options := append(a.client.asking(), oauth2.S256ChallengeOption(a.verifier)) // RFC 7636
	return a.config.AuthCodeURL(a.state, options...)
}

// code takes the code from an answer. errNotAsked is for whoever sent it; any other
// error ends the attempt.
func (a *attempt) code(answer url.Values) (string, error) {
	if subtle.ConstantTimeCompare([]byte(answer.Get("state")), []byte(a.state)) != 1 {
		return "", errNotAsked
	}
	if !a.isFrom(answer["iss"]) {
		return "", &Fault{Kind: Refused, text: "the answer is from another provider than was asked"}
	}
	if code := answer.Get("error"); code != "" {
		if !errorCode.MatchString(code) {
			code = "something that is no error code"
		}
		return "", explain(code, answer.Get("error_description"))
	}
	if answer.Get("code") == "" {
		return "", &Fault{Kind: Refused, text: "the answer has no code"}
	}
	return answer.Get("code"), nil
}

// isFrom reports whether an answer names the host that was asked, or none: an answer
// of one provider is not to be given to another (RFC 9207 section 2.4).
func (a *attempt) isFrom(issuers []string) bool {
	asked, err := url.Parse(a.config.Endpoint.AuthURL)
	for _, name := range issuers {
		issuer, bad := url.Parse(name)
		if err != nil || bad != nil || !strings.EqualFold(issuer.Host, asked.Host) {
			return false
		}
	}
	return true
}

// exchange gets the tokens for a code.
func (a *attempt) exchange(ctx context.Context, code string) (*Grant, error) {
	return a.client.granted(a.config.Exchange(a.client.with(ctx), code, oauth2.VerifierOption(a.verifier)))
}

// LogInByPaste has a person open an address in any browser and paste the one that the
// browser is sent to. Nobody need listen there.
func (c *Client) LogInByPaste(ctx context.Context, in io.Reader, out io.Writer) (*Grant, error) {
	ctx, cancel := context.WithTimeout(ctx, signInTime)
	defer cancel()
	redirect := c.RedirectURL
	if redirect == "" {
		redirect = "http://" + c.loopback()
	}
	a, err := c.attempt(ctx, redirect)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(out, "Open this address in a browser and sign in:\n\n%s\n\n"+
		"The browser is then sent to an address that begins with %s\nand may show an error there. Paste that address here: ", a.question(), redirect)
	line, err := readLine(ctx, in)
	if err != nil {
		return nil, err
	}
	answer, err := url.Parse(strings.TrimSpace(line))
	if err != nil {
		return nil, &Fault{Kind: Refused, text: "this is no address"}
	}
	code, err := a.code(answer.Query())
	if errors.Is(err, errNotAsked) {
		return nil, &Fault{Kind: Refused, text: "this is not the address that the browser was sent to after this sign-in"}
	}
	if err != nil {
		return nil, err
	}
	return a.exchange(ctx, code)
}

// maxAddress bounds what is read as an address.
const maxAddress = 64 << 10

// readLine reads what a person types. Nothing ends the wait for a terminal, so it is
// left behind where ctx ends; the command then ends, too.
func readLine(ctx context.Context, in io.Reader) (string, error) {
	typed := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(io.LimitReader(in, maxAddress)).ReadString('\n')
		typed <- line
	}()
	select {
	case line := <-typed:
		return line, nil
	case <-ctx.Done():
		return "", errNobody
	}
}

var errNobody = &Fault{Kind: Refused, text: "nobody signed in in time"}

// loopback is the host of this machine in redirect addresses, as the provider takes
// it with any port (RFC 8252 section 7.3).
func (c *Client) loopback() string {
	if c.Provider.Localhost {
		return "localhost"
	}
	return "127.0.0.1"
}
