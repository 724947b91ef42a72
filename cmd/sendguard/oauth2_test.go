//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sendguard/proxy/oauth2/oauth2test"
)

// A tokenServer takes mail from who shows a token of the provider.
type tokenServer struct {
	net.Listener
	provider *oauth2test.Provider
	refusal  atomic.Value // its words for a token that is none
	sent     atomic.Int32
	running  sync.WaitGroup
}

func newTokenServer(t *testing.T, p *oauth2test.Provider) *tokenServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &tokenServer{Listener: l, provider: p}
	s.refusal.Store("535 5.7.3 Authentication unsuccessful for tim@mail.example")
	s.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.running.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); s.running.Wait() })
	return s
}

func (s *tokenServer) serve(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(6 * patience))
	r := bufio.NewReader(conn)
	say := func(line string) { io.WriteString(conn, line+"\r\n") }
	say("220 server.test")
	expects := ""
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb := strings.ToUpper(strings.Fields(line + " .")[0])
		switch {
		case expects == "token":
			expects = ""
			if !s.takes(line) {
				expects = "sorry"
				say("334 " + base64.StdEncoding.EncodeToString([]byte(`{"status":"401","scope":"MARK"}`)))
				continue
			}
			say("235 2.7.0 welcome")
		case expects == "sorry":
			expects = ""
			say(s.refusal.Load().(string))
		case expects == "message":
			if line == "." {
				expects = ""
				s.sent.Add(1)
				say("250 2.0.0 queued")
			}
		case verb == "EHLO":
			say("250-server.test\r\n250-SIZE 100000\r\n250 AUTH PLAIN LOGIN XOAUTH2")
		case verb == "AUTH":
			expects = "token"
			if words := strings.Fields(line); len(words) == 3 {
				expects = ""
				if s.takes(words[2]) {
					say("235 2.7.0 welcome")
					continue
				}
				expects = "sorry"
				say("334 eyJ9")
				continue
			}
			say("334 ")
		case verb == "DATA":
			expects = "message"
			say("354 go ahead")
		case verb == "QUIT":
			say("221 bye")
			return
		default:
			say("250 2.0.0 ok")
		}
	}
}

func (s *tokenServer) takes(response string) bool {
	text, err := base64.StdEncoding.DecodeString(response)
	token, ok := strings.CutPrefix(string(text), "user=tim@mail.example\x01auth=Bearer ")
	return err == nil && ok && s.provider.Takes(strings.TrimSuffix(token, "\x01\x01"))
}

// An oauthSetup is a provider, a server that takes its tokens, and a configuration.
type oauthSetup struct {
	t        *testing.T
	provider *oauth2test.Provider
	server   *tokenServer
	dir      string
	config   string
}

func newOAuth(t *testing.T) *oauthSetup {
	t.Helper()
	s := &oauthSetup{t: t, provider: oauth2test.New(t), dir: filepath.Join(t.TempDir(), "store")}
	s.server = newTokenServer(t, s.provider)
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s.config = writeConfig(t, s.text(s.dir))
	return s
}

func (s *oauthSetup) text(dir string) string {
	return fmt.Sprintf(`routes:
  - name: work
    listen: 127.0.0.1:0
    upstream:
      address: "%s"
      tls: none
      auth: login
      username: tim@mail.example
      max_idle_connections: 0
      oauth2:
        provider: custom
        client_id: guard
        client_secret: MARK-client-secret
        auth_url: %s/authorize
        token_url: %[2]s/token
        device_url: %[2]s/device
        revoke_url: %[2]s/revoke
        scopes: [smtp]
        store: "file:%[3]s/token"
metrics: {listen: 127.0.0.1:0}
`, s.server.Addr(), s.provider.URL, dir)
}

// A screen shows what a command writes, as it comes.
type screen struct {
	mu      sync.Mutex
	text    bytes.Buffer
	address chan string // of this machine, once
	once    sync.Once
}

var localAddress = regexp.MustCompile(`http://127\.0\.0\.1:\d+/[A-Z0-9]+\n`)

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.text.Write(b)
	if found := localAddress.FindString(s.text.String()); found != "" {
		s.once.Do(func() { s.address <- strings.TrimSpace(found) })
	}
	return n, err
}

// login signs in with a browser, and returns what the command shows.
func (s *oauthSetup) login(more ...string) (status int, stdout, stderr string) {
	s.t.Helper()
	s.t.Setenv("PATH", s.t.TempDir()) // no browser of this machine's opens
	shown := &screen{address: make(chan string, 1)}
	var errs bytes.Buffer
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*patience)
	defer cancel()
	var browsing sync.WaitGroup
	browsing.Go(func() {
		select {
		case address := <-shown.address:
			r, err := (&http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}).Get(address)
			if err != nil {
				s.t.Error(err)
				return
			}
			r.Body.Close()
		case <-ctx.Done():
		}
	})
	status = run(ctx, append([]string{"login", "--config", s.config}, more...), shown, &errs)
	cancel()
	browsing.Wait()
	return status, shown.text.String(), errs.String()
}

func (s *oauthSetup) mustLogin() {
	s.t.Helper()
	if status, stdout, stderr := s.login(); status != 0 {
		s.t.Fatalf("status %d\n%s%s", status, stdout, stderr)
	}
}

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
	s.provider.Fault = func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"access_token":"MARK-of-another-provider","expires_in":3600}`)
		return true
	}
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

// serve starts a guard of its own process.
func (s *oauthSetup) serve(env ...string) *process {
	s.t.Helper()
	p := s.begin(env...)
	p.attach()
	return p
}

// attach waits until it listens.
func (p *process) attach() {
	p.t.Helper()
	p.addr = p.out.find(p.t, `msg=listening route=work listen=(\S+)`)[1]
	p.metrics = p.out.find(p.t, `msg=metrics listen=(\S+)`)[1]
}

func (s *oauthSetup) begin(env ...string) *process {
	s.t.Helper()
	p := &process{t: s.t, out: &lines{changed: make(chan struct{}, 1)}, config: s.config}
	p.cmd = exec.CommandContext(s.t.Context(), os.Args[0], "serve", "--config", s.config)
	p.cmd.Env = append(append(os.Environ(), asChild+"=1"), env...)
	p.cmd.Stderr = p.out
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { p.cmd.Process.Kill(); p.cmd.Wait() })
	return p
}

// send sends one message and returns what is said to EHLO or to its end.
func (p *process) send() string {
	p.t.Helper()
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(4 * patience))
	r, said := bufio.NewReader(conn), ""
	reply := func() string {
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return err.Error()
			}
			if said = strings.TrimSpace(line); len(said) < 4 || said[3] != '-' {
				return said
			}
		}
	}
	reply()
	for _, line := range []string{"EHLO c.test", "MAIL FROM:<tim@mail.example>", "RCPT TO:<you@there.example>", "DATA", "From: tim@mail.example\r\nTo: you@there.example\r\n\r\nHi\r\n."} {
		fmt.Fprintf(conn, "%s\r\n", line)
		if said := reply(); said[0] != '2' && said[0] != '3' {
			return said
		}
	}
	io.WriteString(conn, "QUIT\r\n")
	return said
}

func (p *process) mustSend(want string) {
	p.t.Helper()
	if said := p.send(); !strings.HasPrefix(said, want) {
		p.t.Fatalf("got %q, want %s\n%s", said, want, p.out.String())
	}
}

// awaitGauge waits until a metric has a value.
func (p *process) awaitGauge(name, want string, within time.Duration) {
	p.t.Helper()
	for end := time.Now().Add(within); p.gauge(name) != want; {
		if time.Now().After(end) {
			p.t.Fatalf("%s is %s\n%s", name, p.gauge(name), p.out.String())
		}
	}
}

const (
	loginRequired = `sendguard_oauth_login_required{route="work"}`
	refreshesOK   = `sendguard_oauth_refreshes_total{result="ok",route="work"}`
)

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
	s.hides("what the processes show", processes(t, p.cmd.Process.Pid))
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

// processes are the command lines and environments of a process and of this one.
func processes(t *testing.T, pids ...int) string {
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
	s.provider.Fault = func(w http.ResponseWriter, _ *http.Request) bool {
		if down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return down.Load()
	}
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

// TestAFullDiskLosesNoLogin has the rotation meet a disk that is full.
func TestAFullDiskLosesNoLogin(t *testing.T) {
	s := newOAuth(t)
	if err := syscall.Mount("tmpfs", s.dir, "tmpfs", 0, "size=16k,mode=0700"); err != nil {
		t.Skip("no file system of one's own: ", err)
	}
	defer syscall.Unmount(s.dir, syscall.MNT_DETACH)
	s.mustLogin()
	for full := []byte("x"); ; full = append(full, full...) { // until there is no room for another byte
		if os.WriteFile(filepath.Join(s.dir, fmt.Sprint("full", len(full))), full, 0o600) != nil {
			break
		}
	}
	p := s.serve()
	p.mustSend("454 4.7.0 Not sent: sendguard has no OAuth2 token for 127.0.0.1: the token cannot be kept: no space left on device")
	full, _ := filepath.Glob(filepath.Join(s.dir, "full*"))
	for _, path := range full {
		os.Remove(path)
	}
	for end := time.Now().Add(2 * patience); !strings.HasPrefix(p.send(), "250"); {
		if time.Now().After(end) {
			t.Fatal(p.out.String())
		}
	}
	if n := s.provider.Calls(); n != 2 {
		t.Errorf("the provider was asked %d times", n)
	}
	p.stop()
	s.hides("the log", p.out.String())
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
	s.provider.Answered = func() {
		go func() {
			<-started
			time.Sleep(time.Duration(rand.IntN(4000)) * time.Microsecond)
			p.Load().cmd.Process.Kill()
			close(killed)
		}()
	}
	before := s.provider.Calls()
	p.Store(s.begin())
	close(started)
	defer func() { s.provider.Answered = nil }()
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
