//go:build unix

package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sendguard/proxy/oauth2/oauth2test"
)

func TestALoginKeepsTheTokenAndSaysWhetherItIsTaken(t *testing.T) {
	s := newOAuth(t)
	status, stdout, stderr := s.login()
	if status != 0 || !strings.Contains(stdout, "Logged in: tim@mail.example. The login is kept in file:"+s.dir+"/token.\n"+s.server.Addr().String()+" takes it.\n") || stderr != "" {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
	if info, err := os.Stat(s.dir + "/token"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	status, stdout, stderr = command(t, "config", "--connect", "--config", s.config)
	if status != 0 || !strings.Contains(stderr, "no TLS; logged in; offers") || !strings.Contains(stderr, "every account of this machine may send as the mailbox") {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
	s.provider.Spoil()
	s.provider.SetFault(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"access_token":"MARK-of-another-provider","expires_in":3600}`)
		return true
	})
	status, _, stderr = command(t, "config", "--connect", "--config", s.config)
	if status == 0 || !strings.Contains(stderr, "it refused the login: 535 5.7.3: the user name or the password is wrong; with oauth2: username is not the mailbox") {
		t.Errorf("status %d\n%s", status, stderr)
	}
}

func TestALoginToAnotherMailboxIsKeptForADelegateAlone(t *testing.T) {
	s := newOAuth(t)
	s.provider.Mailbox = "ann@mail.example"
	status, _, stderr := s.login()
	if _, err := os.Stat(s.dir + "/token"); status != 1 || err == nil || !strings.Contains(stderr, "this was the mailbox ann@mail.example, and username is tim@mail.example: nothing was kept") {
		t.Errorf("status %d, %v\n%s", status, err, stderr)
	}
	status, stdout, _ := s.login("--delegate")
	if _, err := os.Stat(s.dir + "/token"); status != 0 || err != nil {
		t.Errorf("status %d, %v\n%s", status, err, stdout)
	}
}

func TestALogoutSaysWhatItDid(t *testing.T) {
	s := newOAuth(t)
	if status, stdout, _ := command(t, "logout", "--config", s.config); status != 0 || stdout != "Nobody was logged in.\n" {
		t.Errorf("status %d, %q", status, stdout)
	}
	s.mustLogin()
	if status, stdout, _ := command(t, "logout", "work", "--config", s.config); status != 0 || stdout != "Logged out, and the provider has ended the login.\n" || s.provider.Valid() != "" {
		t.Errorf("status %d, %q", status, stdout)
	}
	for route, want := range map[string]string{"home": `there is no route "home" with oauth2`} {
		if status, _, stderr := command(t, "logout", route, "--config", s.config); status != 2 || !strings.Contains(stderr, want) {
			t.Errorf("status %d, %s", status, stderr)
		}
	}
	if status, _, stderr := command(t, "login", "--config", writeConfig(t, minimal)); status != 2 || !strings.Contains(stderr, "no route has oauth2") {
		t.Errorf("status %d, %s", status, stderr)
	}
}

// TestMailWaitsForALoginAndNothingShowsASecret goes through a mailbox's life: nobody
// is logged in, somebody logs in, tokens are refused and renewed, the login ends, and
// somebody logs out. Every secret has a mark, which must be nowhere.
func TestMailWaitsForALoginAndNothingShowsASecret(t *testing.T) {
	s := newOAuth(t)
	p := s.serve()
	p.mustSend("454 4.7.0 Not sent: sendguard has no OAuth2 token for 127.0.0.1: nobody has logged in: run sendguard login")
	p.awaitGauge(loginRequired, "1", patience)

	s.mustLogin()
	p.mustSend("250")
	p.awaitGauge(loginRequired, "0", patience)
	if n := p.gauge(refreshesOK); n != "1" {
		t.Errorf("%s refreshes", n)
	}

	s.provider.Spoil()
	p.mustSend("250")
	if n := p.gauge(refreshesOK); n != "2" {
		t.Errorf("%s refreshes", n)
	}
	s.provider.Spoil() // a second time within a minute
	p.mustSend("451 4.7.0 Not sent: sendguard cannot log in at 127.0.0.1: it refused the login: 535 5.7.3 Authentication unsuccessful")
	if n := p.gauge(refreshesOK); n != "2" {
		t.Errorf("%s refreshes: the provider is asked each time", n)
	}

	if status, _, stderr := command(t, "logout", "--config", s.config); status != 0 {
		t.Error(stderr)
	}
	p.awaitGauge(loginRequired, "1", 10*time.Second)
	s.hides("what the processes show", commandLines(t, p.cmd.Process.Pid))
	s.hides("the metrics", p.scrape())
	p.stop()
	s.hides("the log", p.out.String())
	neighbours, _ := os.ReadDir(s.dir)
	for _, n := range neighbours {
		text, _ := os.ReadFile(filepath.Join(s.dir, n.Name()))
		s.hides(n.Name(), string(text))
	}
	if n := s.server.sent.Load(); n != 2 {
		t.Errorf("%d messages were sent", n)
	}
}

func (p *process) scrape() string {
	p.t.Helper()
	r, err := (&http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + p.metrics + "/metrics")
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Body.Close()
	text, _ := io.ReadAll(r.Body)
	return string(text)
}

// commandLines are those of a process and of this one.
func commandLines(t *testing.T, pids ...int) string {
	t.Helper()
	all := ""
	for _, pid := range append(pids, os.Getpid()) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			t.Skip(err)
		}
		all += string(text)
	}
	return all
}

// hides looks for a mark and for the mailbox, as they are and in base64 at each of
// its three offsets.
func (s *oauthSetup) hides(what, text string) {
	s.t.Helper()
	for _, hidden := range []string{oauth2test.Mark, "tim@mail", "user=tim"} {
		for _, form := range []string{hidden, base64.StdEncoding.EncodeToString([]byte(hidden))[:len(hidden)], base64.StdEncoding.EncodeToString([]byte("x" + hidden))[2:][:len(hidden)-1], base64.StdEncoding.EncodeToString([]byte("xx" + hidden))[3:][:len(hidden)-1]} {
			if strings.Contains(text, form) {
				s.t.Errorf("%s shows %q: %s", what, form, text)
			}
		}
	}
}

func TestAProviderThatIsDownAtTheStartDelaysMailAlone(t *testing.T) {
	s := newOAuth(t)
	s.mustLogin()
	var down atomic.Bool
	down.Store(true)
	s.provider.SetFault(func(w http.ResponseWriter, _ *http.Request) bool {
		if down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return down.Load()
	})
	p := s.serve()
	p.mustSend("454 4.7.0 Not sent: sendguard has no OAuth2 token for 127.0.0.1: the provider answers 503 Service Unavailable")
	if n := p.gauge(loginRequired); n != "0" {
		t.Errorf("login required is %s", n)
	}
	down.Store(false)
	for end := time.Now().Add(2 * patience); !strings.HasPrefix(p.send(), "250"); {
		if time.Now().After(end) {
			t.Fatal(p.out.String())
		}
	}
	p.stop()
}

// TestAKillBetweenRefreshAndSave kills sendguard at about the moment in which it has
// the rotated token and has not kept it, a few times or SENDGUARD_KILLS. A provider
// that leaves the old token valid, as Microsoft does, loses no login; one that takes
// the old one for stolen ends it, and each time somebody hears so.
func TestAKillBetweenRefreshAndSave(t *testing.T) {
	for _, lenient := range []bool{true, false} {
		t.Run(fmt.Sprintf("the old token stays valid: %v", lenient), func(t *testing.T) {
			s := newOAuth(t)
			s.mustLogin()
			s.provider.Lenient = lenient
			lost := 0
			for range kills(t) {
				if !s.killAtRefresh() {
					lost++
					s.mustLogin()
				}
			}
			p := s.serve()
			if !lenient && strings.HasPrefix(p.send(), "454") { // it was the last one
				lost++
				s.mustLogin()
			}
			p.mustSend("250")
			p.stop()
			t.Logf("%d of %d logins were lost", lost, kills(t))
			if lenient && lost > 0 {
				t.Errorf("%d logins were lost", lost)
			}
		})
	}
}

func kills(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("SENDGUARD_KILLS"))
	if err != nil {
		return 5
	}
	return n
}

// killAtRefresh starts a guard and kills it when it refreshes its token. false: the
// provider had ended the login; then mail is told so, and the provider asked once.
func (s *oauthSetup) killAtRefresh() (refreshed bool) {
	s.t.Helper()
	killed := make(chan struct{})
	var p atomic.Pointer[process]
	started := make(chan struct{})
	s.provider.SetAnswered(func() {
		go func() {
			<-started
			time.Sleep(time.Duration(rand.IntN(4000)) * time.Microsecond)
			p.Load().cmd.Process.Kill()
			close(killed)
		}()
	})
	before := s.provider.Calls()
	p.Store(s.begin())
	close(started)
	defer func() { s.provider.SetAnswered(nil) }()
	for end := time.Now().Add(2 * patience); !strings.Contains(p.Load().out.String(), "login_required=true"); {
		select {
		case <-killed:
			p.Load().cmd.Wait()
			return true
		case <-p.Load().out.changed:
		case <-time.After(time.Until(end)):
			s.t.Fatal(p.Load().out.String())
		}
	}
	p.Load().attach()
	p.Load().mustSend("454 4.7.0")
	p.Load().awaitGauge(loginRequired, "1", patience)
	for range 3 {
		p.Load().mustSend("454 4.7.0")
	}
	if n := s.provider.Calls() - before; n != 1 {
		s.t.Errorf("the provider was asked %d times", n)
	}
	p.Load().stop()
	return false
}
