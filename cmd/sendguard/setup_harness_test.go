package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// A submission server takes mail from me@home.example with the password "right".
type submission struct {
	addr string
	said *lines // all that clients said

	mu   sync.Mutex
	mail []string
}

// newSubmission listens on loopback; with a certificate it offers STARTTLS, and takes
// a login with TLS alone.
func newSubmission(t *testing.T, cert *tls.Config) *submission {
	t.Helper()
	return newSubmissionAt(t, "127.0.0.1:0", cert)
}

func newSubmissionAt(t *testing.T, address string, cert *tls.Config) *submission {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Skip(err) // 127.0.0.2 is on Linux alone
	}
	s := &submission{addr: l.Addr().String(), said: &lines{changed: make(chan struct{}, 1)}}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &submitting{server: s}, nil }))
	server.Domain, server.TLSConfig, server.AllowInsecureAuth, server.Debug = "localhost", cert, cert == nil, s.said
	server.ErrorLog = log.New(io.Discard, "", 0) // clients go as they like
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-done })
	return s
}

// noDNS answers nothing: no test asks the DNS of the machine.
var noDNS = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed }}

// got is all mail that was sent.
func (s *submission) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.mail...)
}

type submitting struct {
	server *submission
	known  bool
}

var errNotNow = errors.New("not before a login")

func (s *submitting) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *submitting) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, name, password string) error {
		if s.known = name == "me@home.example" && password == "right"; !s.known {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}

func (s *submitting) Mail(string, *smtp.MailOptions) error {
	if !s.known {
		return errNotNow
	}
	return nil
}

func (s *submitting) Rcpt(string, *smtp.RcptOptions) error { return nil }

func (s *submitting) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.mail = append(s.server.mail, string(text))
	return err
}

func (s *submitting) Reset()        {}
func (s *submitting) Logout() error { return nil }

// withAuthority makes a certificate for localhost and 127.0.0.1, and returns the file
// of who has signed it.
func withAuthority(t *testing.T) (*tls.Config, string) {
	t.Helper()
	dir := withCertificate(t)
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}}, filepath.Join(dir, "ca.pem")
}

// newHome is the home of somebody who has nothing yet; it returns the place of the
// configuration.
func newHome(t *testing.T) (config string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, ".config"))
	t.Setenv("SENDGUARD_CONFIG", filepath.Join(dir, ".config", "sendguard", "config.yaml"))
	return os.Getenv("SENDGUARD_CONFIG")
}

// allAnswers are flags for all questions of a setup that has the mail program log in.
func (s *submission) allAnswers(more ...string) []string {
	return append([]string{"setup", "--account", "me@home.example", "--server", s.addr, "--tls", "none", "--auth", "relay", "--internal", "home.example",
		"--limit", "3", "--client", "python", "--service", "none"}, more...)
}

// nothingIn reports files in a folder, but for those that are named.
func nothingIn(t *testing.T, dir string, but ...string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() && !strings.Contains(fmt.Sprint(but), path) {
			t.Errorf("%s was written", path)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
