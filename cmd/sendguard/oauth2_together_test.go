//go:build unix

package main

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// Of a provider that takes a refresh token once, and ends all where it is shown again:
// each guard wants a token when it starts and another when the server refuses that, and
// each login changes the one that is kept.
func TestTwoGuardsAndALoginAtOnceLoseNoLogin(t *testing.T) {
	s := newOAuth(t)
	s.mustLogin()
	for range 5 {
		guards := []*process{s.begin(), s.begin()}
		loggedIn := make(chan struct{})
		var sending sync.WaitGroup
		for _, p := range guards {
			p.attach()
			p.mustSend("250")
			sending.Go(func() { p.sendUntil(loggedIn) })
		}
		s.provider.Spoil()
		s.loginProcess()
		close(loggedIn)
		sending.Wait()
		for _, p := range guards {
			p.awaitGauge(loginRequired, "0", 2*patience)
			p.mustSend("250")
			p.stop()
		}
		if s.provider.Valid() == "" {
			t.Fatal("a token was shown twice: the provider has ended the login")
		}
	}
	s.serve().mustSend("250") // with what is kept
	t.Logf("%d messages, %d requests for tokens", s.server.sent.Load(), s.provider.Calls())
}

// sendUntil sends one message after the other, one at least.
func (p *process) sendUntil(end <-chan struct{}) {
	for {
		if said := p.send(); !strings.HasPrefix(said, "250") {
			p.t.Errorf("got %q\n%s", said, p.out.String())
			return
		}
		select {
		case <-end:
			return
		default:
		}
	}
}

// loginProcess signs in with a process of its own.
func (s *oauthSetup) loginProcess() {
	s.t.Helper()
	shown := &screen{address: make(chan string, 1)}
	var errs bytes.Buffer
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "login", "--config", s.config)
	cmd.Env = append(os.Environ(), asChild+"=1", "PATH="+s.t.TempDir()) // no browser of this machine's opens
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = shown, &errs, time.Second
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	select {
	case address := <-shown.address:
		r, err := (&http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}).Get(address)
		if err != nil {
			s.t.Error(err)
			break
		}
		r.Body.Close()
	case <-ctx.Done():
	}
	if err := cmd.Wait(); err != nil {
		s.t.Errorf("login: %v\n%s%s", err, shown.text.String(), errs.String())
	}
}
