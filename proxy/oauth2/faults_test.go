package oauth2

import (
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// says answers with a body that is said to be JSON.
func says(status int, body string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
		return true
	}
}

func html(w http.ResponseWriter, _ *http.Request) bool {
	w.Header().Set("Content-Type", "text/html")
	fmt.Fprint(w, "<html><body>MARK: please sign in to the hotel's network, tim@mail.example</body></html>")
	return true
}

func hangUp(w http.ResponseWriter, _ *http.Request) bool {
	conn, _, _ := w.(http.Hijacker).Hijack()
	conn.Close()
	return true
}

func hang(w http.ResponseWriter, r *http.Request) bool {
	<-r.Context().Done()
	return true
}

func elsewhere(w http.ResponseWriter, r *http.Request) bool {
	http.Redirect(w, r, "http://evil.example/token", http.StatusTemporaryRedirect)
	return true
}

func microsoftSays(number string) string {
	return `{"error":"invalid_client","error_description":"AADSTS` + number + `: MARK of tim@mail.example. Trace ID: x","error_codes":[` + number + `]}`
}

// TestWhatAProviderDoesWrong is the table of faults: what each means for who waits,
// and in words.
func TestWhatAProviderDoesWrong(t *testing.T) {
	for name, tc := range map[string]struct {
		fault func(http.ResponseWriter, *http.Request) bool
		kind  Kind
		want  string
	}{
		"no answer":                 {hang, Failed, "the provider does not answer"},
		"connection lost":           {hangUp, Failed, "the connection to the provider was lost"},
		"500":                       {says(500, "oops MARK"), Failed, "the provider answers 500 Internal Server Error"},
		"503 with JSON":             {says(503, `{"error":"temporarily_unavailable"}`), Failed, "the provider says temporarily_unavailable: it has too much to do"},
		"429":                       {says(429, ""), Failed, "the provider answers 429 Too Many Requests"},
		"HTML with 200":             {html, Failed, "the provider's answer makes no sense"},
		"a token of no length":      {says(200, `{"access_token":""}`), Failed, "the provider's answer makes no sense"},
		"JSON that is cut off":      {says(200, `{"access_token":"MARK-acc`), Failed, "the provider's answer makes no sense"},
		"somewhere else":            {elsewhere, Failed, "the provider answers 307 Temporary Redirect"},
		"invalid_grant":             {says(400, `{"error":"invalid_grant","error_description":"MARK tim@mail.example"}`), Login, "the provider says invalid_grant: the login is over; log in again"},
		"invalid_grant with 200":    {says(200, `{"error":"invalid_grant"}`), Login, "the provider says invalid_grant: the login is over; log in again"},
		"slow_down":                 {says(400, `{"error":"slow_down"}`), Failed, "the provider says slow_down: it was asked too often"},
		"a code that nobody knows":  {says(400, `{"error":"no_idea"}`), Refused, "the provider says no_idea"},
		"a code that is an address": {says(400, `{"error":"tim@mail.example"}`), Failed, "the provider answers 400 Bad Request"},
		"a secret that expired":     {says(401, microsoftSays("7000222")), Refused, "the provider says invalid_client, AADSTS7000222: the client secret has expired: make a new one"},
		"a clock that is wrong":     {says(401, microsoftSays("700024")), Refused, "the provider says invalid_client, AADSTS700024: the assertion is not valid at this time: is the clock of this machine right?"},
		"AADSTS of the future":      {says(401, microsoftSays("12345678")), Refused, "the provider says invalid_client, AADSTS12345678"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t)
			p.SetFault(tc.fault)
			c := p.loggedIn()
			c.http.Timeout = time.Second // for the one that does not answer
			s := NewSource(c)
			for range 5 { // nobody is asked again because somebody waits
				_, err := s.Token(t.Context())
				if err == nil || err.Error() != tc.want || kindOf(err) != tc.kind {
					t.Errorf("got %v of kind %v\nwant %s", err, kindOf(err), tc.want)
				}
				hides(t, fmt.Sprint(err))
			}
			if n := p.Calls(); n != 1 {
				t.Errorf("it was asked %d times", n)
			}
		})
	}
}

func TestAProviderThatIsDownIsFoundWhenItIsBack(t *testing.T) {
	p := newProvider(t)
	c := p.loggedIn()
	p.SetFault(says(503, ""))
	s, clock := withClock(c)
	if _, err := s.Token(t.Context()); err == nil {
		t.Fatal("there is a token")
	}
	p.SetFault(nil)
	if _, err := s.Token(t.Context()); err == nil {
		t.Error("it is asked again at once")
	}
	clock.pass(faultPause)
	if _, err := s.Token(t.Context()); err != nil {
		t.Errorf("it is not asked again: %v", err)
	}
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	c.Provider.TokenURL = secure.URL
	if _, err := NewSource(New(c.Settings)).Token(t.Context()); err == nil || err.Error() != "the certificate of the provider is not trusted (a company's own proxy? its roots belong into ca_file)" {
		t.Errorf("a certificate that nobody knows: %v", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	c.RootCAs = roots
	if _, err := NewSource(New(c.Settings)).Token(t.Context()); err == nil || err.Error() != "the provider answers 404 Not Found" {
		t.Errorf("one that ca_file has: %v", err)
	}
	c.Provider.TokenURL = "http://127.0.0.1:1/token"
	if _, err := NewSource(New(c.Settings)).Token(t.Context()); err == nil || err.Error() != "the provider cannot be reached" {
		t.Errorf("nobody listens there: %v", err)
	}
}

func TestEveryCodeOfTheTableHasWords(t *testing.T) {
	for number, words := range microsoft {
		if got := explain("invalid_client", "AADSTS"+number+": x").Error(); !strings.HasSuffix(got, ", AADSTS"+number+": "+words) {
			t.Errorf("%s: %s", number, got)
		}
	}
}

// The library's call for a code does not look at its context: the client's own
// time-out has to end it.
func TestADeviceSignInEndsWhereTheProviderIsSilent(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	silent := make(chan struct{})
	mute := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-silent }))
	defer mute.Close()
	defer close(silent)
	c := p.client(func(s *Settings) { s.Provider.DeviceURL = mute.URL })
	c.http.Timeout = time.Second
	began := time.Now()
	if _, err := c.LogInByDevice(t.Context(), io.Discard); err == nil || err.Error() != "the provider does not answer" {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("it took %v", took)
	}
	c = New(p.client().Settings)
	c.http.Timeout = time.Second
	p.SetFault(hang) // at the first poll
	if _, err := c.LogInByDevice(t.Context(), io.Discard); err == nil || err.Error() != "the provider does not answer" {
		t.Errorf("at a poll: %v", err)
	}
}

// RFC 8628 section 3.5: five seconds more, from then on.
func TestADeviceThatIsToldToSlowDownDoes(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	var polls []time.Time
	p.SetFault(func(w http.ResponseWriter, r *http.Request) bool {
		polls = append(polls, time.Now())
		return len(polls) == 1 && says(400, `{"error":"slow_down"}`)(w, r)
	})
	if _, err := p.client().LogInByDevice(t.Context(), io.Discard); err != nil {
		t.Fatal(err)
	}
	if len(polls) != 2 || polls[1].Sub(polls[0]) < 5*time.Second {
		t.Errorf("polled at %v", polls)
	}
}
