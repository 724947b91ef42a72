package oauth2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"
)

// browse does what a browser does with an address.
func browse(address string) (string, error) {
	jar, _ := cookiejar.New(nil)
	transport := &http.Transport{DisableKeepAlives: true}
	r, err := (&http.Client{Jar: jar, Transport: transport, Timeout: patience}).Get(address)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	page, err := io.ReadAll(r.Body)
	return fmt.Sprint(r.StatusCode, " ", string(page)), err
}

// signIn signs in with a browser that does what it is told.
func signIn(t *testing.T, c *Client, do func(address string)) (*Grant, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	done := make(chan struct{})
	defer func() { <-done }()
	return c.LogInByBrowser(ctx, func(address string) {
		go func() {
			defer close(done)
			do(address)
		}()
	})
}

func TestSomebodySignsInWithABrowser(t *testing.T) {
	for name, redirect := range map[string]string{"any port": "", "a path of its own": "http://localhost/back"} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			c := p.client(func(s *Settings) { s.RedirectURL = redirect })
			g, err := signIn(t, c, func(address string) {
				if strings.Contains(address, "state") || strings.Contains(address, "?") {
					t.Errorf("the address shows parameters: %s", address)
				}
				if page, err := browse(address); err != nil || !strings.HasPrefix(page, "200 sendguard has the answer") {
					t.Errorf("the browser shows %q, %v", page, err)
				}
			})
			if err != nil || !g.IsOf("Tim@Mail.example") || g.IsOf("another@mail.example") {
				t.Fatalf("%+v, %v", g, err)
			}
			if err := c.Remember(t.Context(), g); err != nil {
				t.Fatal(err)
			}
			if token, err := NewSource(c).Token(t.Context()); err != nil || token == g.Access {
				t.Errorf("%q, %v", token, err)
			}
		})
	}
}

func TestTheAddressThatABrowserIsGivenLeadsToTheProviderOnce(t *testing.T) {
	p := newProvider(t)
	_, err := signIn(t, p.client(), func(address string) {
		peek := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
		first, err := peek.Get(address)
		if err != nil {
			t.Error(err)
			return
		}
		first.Body.Close()
		if page, _ := browse(address); !strings.HasPrefix(page, "404") {
			t.Errorf("it leads there again: %q", page)
		}
		browse(first.Header.Get("Location"))
	})
	if err != nil {
		t.Error(err)
	}
}

// Another account of this machine, or a page in the browser, may send what it likes to
// the port that waits for the answer.
func TestALoginThatIsInjectedIsTurnedAway(t *testing.T) {
	p := newProvider(t)
	g, err := signIn(t, p.client(), func(address string) {
		here, _ := url.Parse(address)
		for what, want := range map[string]string{
			"/?code=MARK-evil&state=":              "400",
			"/?code=MARK-evil&state=ABCDEFGHIJKLM": "400",
			"/?code=MARK-evil":                     "400",
			"/?error=access_denied":                "400",
			"/":                                    "404",
			"/anything?state=x":                    "404",
		} {
			if page, err := browse("http://" + here.Host + what); !strings.HasPrefix(page, want) {
				t.Errorf("%s got %q, %v", what, page, err)
			}
		}
		r, _ := http.NewRequest("GET", "http://"+here.Host+"/?code=x&state=y", nil)
		r.Host = "rebound.example:80"
		if answer, err := (&http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}).Do(r); err != nil || answer.StatusCode != http.StatusForbidden {
			t.Errorf("a foreign name is served: %v", err)
		} else {
			answer.Body.Close()
		}
		browse(address)
	})
	if err != nil || g.Mailbox != "tim@mail.example" {
		t.Errorf("%+v, %v", g, err)
	}
}

func TestASignInThatIsRefusedSaysWhy(t *testing.T) {
	for name, tc := range map[string]struct {
		adjust func(*provider)
		want   string
	}{
		"somebody says no":           {func(p *provider) { p.Deny = "access_denied" }, "the provider says access_denied: somebody said no, or an administrator has to agree first"},
		"the answer of another":      {func(p *provider) { p.Issuer = "https://evil.example" }, "the answer is from another provider than was asked"},
		"an error that is none":      {func(p *provider) { p.Deny = "Hello tim@mail.example" }, "the provider says something that is no error code"},
		"the code is not taken":      {func(p *provider) { p.SetFault(says(400, `{"error":"invalid_grant"}`)) }, "the provider says invalid_grant: the login is over; log in again"},
		"there is no refresh token":  {func(p *provider) { p.SetFault(says(200, `{"access_token":"MARK-access"}`)) }, "the provider gave no refresh token: is the client registered as one for a person's machine, and may it work while nobody is there?"},
		"a redirect that is unknown": {func(p *provider) { p.Deny = "redirect_uri_mismatch" }, "the provider says redirect_uri_mismatch: the redirect address is not registered for the client"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			tc.adjust(p)
			_, err := signIn(t, p.client(), func(address string) { browse(address) })
			if err == nil || err.Error() != tc.want {
				t.Errorf("got %v\nwant %s", err, tc.want)
			}
			hides(t, fmt.Sprint(err))
		})
	}
}

func TestAnAddressIsPastedFromABrowserElsewhere(t *testing.T) {
	p := newProvider(t)
	in, typing := io.Pipe()
	showing, out := io.Pipe()
	defer in.Close()
	go func() { // a person who reads the address, and pastes where the browser ends up
		text := ""
		buf := make([]byte, 4096)
		for !strings.Contains(text, "here: ") {
			n, err := showing.Read(buf)
			if err != nil {
				return
			}
			text += string(buf[:n])
		}
		question := strings.Fields(text[strings.Index(text, "http"):])[0]
		peek := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
		r, err := peek.Get(question)
		if err != nil {
			typing.CloseWithError(err)
			return
		}
		r.Body.Close()
		fmt.Fprintf(typing, " %s \n", r.Header.Get("Location"))
	}()
	g, err := p.client().LogInByPaste(t.Context(), in, out)
	if err != nil || g.refresh == "" {
		t.Errorf("%+v, %v", g, err)
	}
	for typed, want := range map[string]string{
		"http://127.0.0.1/?code=MARK-evil&state=ABC\n": "this is not the address that the browser was sent to after this sign-in",
		"\n":    "this is not the address that the browser was sent to after this sign-in",
		"%zz\n": "this is no address",
	} {
		_, err := p.client().LogInByPaste(t.Context(), strings.NewReader(typed), io.Discard)
		if err == nil || err.Error() != want {
			t.Errorf("%q: %v", typed, err)
		}
	}
}

func TestSomebodySignsInOnAnotherDevice(t *testing.T) {
	p := newProvider(t)
	p.Pending = 1
	var out strings.Builder
	g, err := p.client().LogInByDevice(t.Context(), &out)
	if err != nil || g.refresh == "" || g.Mailbox != "tim@mail.example" {
		t.Fatalf("%+v, %v", g, err)
	}
	if want := "Open " + p.URL + "/device on any device, and enter the code ABCD-?[2JEFGH there.\n"; out.String() != want {
		t.Errorf("it shows %q", out.String())
	}
	hides(t, out.String())
}

func TestASignInEndsWithThePatienceOfWhoAskedForIt(t *testing.T) {
	p := newProvider(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := p.client().LogInByBrowser(ctx, func(string) {}); !errors.Is(err, errNobody) {
		t.Errorf("with a browser: %v", err)
	}
	p.Pending = 1 << 30
	ctx, cancel = context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	if _, err := p.client().LogInByDevice(ctx, io.Discard); !errors.Is(err, errNobody) {
		t.Errorf("on a device: %v", err)
	}
}

func TestALogoutForgetsAndRevokes(t *testing.T) {
	p := newProvider(t)
	c := p.loggedIn()
	if found, revoked, err := c.Forget(t.Context()); !found || !revoked || err != nil || p.Valid() != "" {
		t.Errorf("%v, %v, %v; valid is %q", found, revoked, err, p.Valid())
	}
	if found, _, err := c.Forget(t.Context()); found || err != nil {
		t.Errorf("once more: %v, %v", found, err)
	}
	c = p.loggedIn()
	p.Close()
	if found, revoked, err := c.Forget(t.Context()); !found || revoked || err == nil {
		t.Errorf("a provider that is down: %v, %v, %v", found, revoked, err)
	}
	if _, err := c.Store.Load(t.Context()); !errors.Is(err, errNoToken) {
		t.Errorf("and the token is kept: %v", err)
	}
}
