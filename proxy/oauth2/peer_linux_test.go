package oauth2

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
)

// The test has both ends, so the account that is let in decides.
func TestTheBrowserOfAnotherAccountIsTurnedAway(t *testing.T) {
	const somebody = 65533
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		for account, want := range map[int]int{os.Getuid(): http.StatusSeeOther, somebody: http.StatusForbidden} {
			l, err := net.Listen("tcp", address)
			if err != nil {
				t.Skip(err) // no IPv6
			}
			a, err := newProvider(t).client().attempt(t.Context(), "http://127.0.0.1")
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewUnstartedServer(&desk{attempt: a, account: account, once: "/once", path: "/", got: make(chan answer, 1)})
			server.Listener.Close()
			server.Listener = l
			server.Start()
			client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
			r, err := client.Get(server.URL + "/once")
			if err != nil {
				t.Fatal(err)
			}
			r.Body.Close()
			if r.StatusCode != want {
				t.Errorf("%s: account %d got %d, want %d", address, account, r.StatusCode, want)
			}
			server.Close()
		}
	}
}
