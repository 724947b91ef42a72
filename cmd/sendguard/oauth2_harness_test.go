//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
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
	return s.browse(append([]string{"login", "--config", s.config}, more...)...)
}

// browse carries out a command that has a person sign in with a browser.
func (s *oauthSetup) browse(args ...string) (status int, stdout, stderr string) {
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
	status = run(ctx, args, shown, &errs)
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
