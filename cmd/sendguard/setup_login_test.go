//go:build unix

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sendguard/cmd/sendguard/maildrop"
	"sendguard/proxy/oauth2"
)

// withOwnProvider has the addresses of google be those of a provider of the test.
func (s *oauthSetup) withOwnProvider() *oauth2.Provider {
	i := slices.IndexFunc(oauth2.Providers, func(p oauth2.Provider) bool { return p.Name == "google" })
	before := oauth2.Providers[i]
	s.t.Cleanup(func() { oauth2.Providers[i] = before })
	p := &oauth2.Providers[i]
	p.AuthURL, p.TokenURL, p.RevokeURL = s.provider.URL+"/authorize", s.provider.URL+"/token", s.provider.URL+"/revoke"
	return p
}

func (s *oauthSetup) answers(secret string, more ...string) []string {
	return append([]string{"setup", "--account", "tim@mail.example", "--provider", "gmail", "--server", s.server.Addr().String(), "--tls", "none", "--auth", "oauth2",
		"--client-id", "guard", "--client-secret-file", secret, "--sign-in", "browser", "--store", "file:token",
		"--internal", "none", "--limit", "10", "--client", "msmtp", "--service", "none"}, more...)
}

func TestSetupSignsInWhereTheProviderWantsATokenOfAPerson(t *testing.T) {
	s, path := newOAuth(t), newHome(t)
	s.withOwnProvider()
	secret := put(t, "secret", "MARK-client-secret\n")
	status, stdout, stderr := s.browse(s.answers(secret)...)
	if status != 0 {
		t.Fatalf("%s\n%s", stderr, stdout)
	}
	text, _ := os.ReadFile(path)
	for _, want := range []string{"auth: login", "username: \"tim@mail.example\"", "provider: google", "client_id: guard", "client_secret_file: " + secret, "store: file:token"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, want := range []string{"every account of this machine may send as the mailbox", "unix:/PATH", "users_file", " takes it.", "auth off"} {
		if !strings.Contains(strings.ReplaceAll(stdout, "\n", " "), want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	token := filepath.Join(filepath.Dir(path), "token")
	if info, err := os.Stat(token); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if strings.Contains(stdout+string(text), "MARK") {
		t.Errorf("a secret is shown:\n%s\n%s", stdout, text)
	}
}

// TestSetupKeepsWhatIsGoodWhereASignInFails: it can be done again by itself.
func TestSetupKeepsWhatIsGoodWhereASignInFails(t *testing.T) {
	s, path := newOAuth(t), newHome(t)
	s.withOwnProvider().TokenURL = "http://127.0.0.1:1/token"
	status, stdout, stderr := s.browse(s.answers(put(t, "secret", "x\n"))...)
	if status != 1 || !strings.Contains(stdout, "You are not signed in: ") || !strings.HasPrefix(strings.TrimSpace(stderr), "Next: ") || !strings.HasSuffix(strings.TrimSpace(stderr), " login") {
		t.Errorf("%d %s\n%s", status, stderr, stdout)
	}
	if !exists(path) {
		t.Error("the configuration is not there")
	}
}

// A user of a mail program puts its settings where they belong, and sends.
var senders = map[string]func(t *testing.T, settings, password, to string) *exec.Cmd{
	"msmtp": func(t *testing.T, settings, password, to string) *exec.Cmd {
		if password != "" {
			settings += "password " + password + "\n"
		}
		return asUser(t, message(to), "msmtp", "-C", put(t, "msmtprc", settings), to)
	},
	"mutt": func(t *testing.T, settings, password, to string) *exec.Cmd {
		if password != "" {
			settings += "set smtp_pass = \"" + password + "\"\n"
		}
		return asUser(t, "Hello\n", "mutt", "-F", put(t, "muttrc", settings+"set record = \"\"\n"), "-s", "Hello", to)
	},
	"python": func(t *testing.T, settings, password, to string) *exec.Cmd {
		program := fmt.Sprintf("import email\npassword = %q\nmessage = email.message_from_string(%q)\n%s", password, message(to), settings)
		return asUser(t, "", "python3", put(t, "send.py", program))
	},
}

func message(to string) string {
	return "From: me@home.example\nTo: " + to + "\nSubject: Hello\n\nHello\n"
}

func put(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func asUser(t *testing.T, input, program string, args ...string) *exec.Cmd {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skip(err)
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Stdin = strings.NewReader(input)
	return cmd
}

// settingsIn are the lines that setup prints for a mail program, as they are entered.
func settingsIn(t *testing.T, stdout string) string {
	t.Helper()
	_, shown, found := strings.Cut(stdout, "\nSettings for ")
	if !found {
		t.Fatal(stdout)
	}
	var settings strings.Builder
	for line := range strings.SplitSeq(shown, "\n") {
		if entered, is := strings.CutPrefix(line, "  "); is {
			settings.WriteString(entered + "\n")
		}
	}
	return settings.String()
}

// TestTheSettingsThatSetupShowsSendMail has real mail programs use them as they are
// printed, through a guard that runs with the configuration as it was written.
func TestTheSettingsThatSetupShowsSendMail(t *testing.T) {
	good, ca := withAuthority(t)
	for client, send := range senders {
		for auth, password := range map[string]string{"relay": "right", "login": ""} {
			t.Run(client+" "+auth, func(t *testing.T) {
				path, s := newHome(t), newSubmission(t, good)
				args := []string{"setup", "--account", "me@home.example", "--server", s.addr, "--ca-file", ca, "--auth", auth, "--internal", "none", "--limit", "3", "--client", client, "--service", "none"}
				if auth == "login" {
					args = append(args, "--username", "me@home.example", "--password-file", put(t, "password", "right\n"))
				}
				status, stdout, stderr := command(t, args...)
				if status != 0 {
					t.Fatalf("%s\n%s", stderr, stdout)
				}
				settings := settingsIn(t, stdout)
				cmd := send(t, settings, password, "you@there.example")
				out, stop := serveWith(t, path)
				defer stop()
				out.find(t, listening("mail"))
				if said, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s\n%s\n%s", err, said, settings, out.String())
				}
				if got := s.got(); len(got) != 1 || !strings.Contains(got[0], "To: you@there.example") {
					t.Errorf("the server has %q", got)
				}
			})
		}
	}
}

// TestSetupHasARunningGuardLoadTheNewConfiguration, where that is not the service's.
func TestSetupHasARunningGuardLoadTheNewConfiguration(t *testing.T) {
	drop, err := maildrop.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer drop.Close()
	path, s := newHome(t), submission{addr: drop.Addr()}
	if status, stdout, stderr := command(t, s.allAnswers()...); status != 0 {
		t.Fatalf("%s\n%s", stderr, stdout)
	}
	out, stop := serveWith(t, path)
	defer stop()
	address := out.find(t, listening("mail"))[1]
	args := s.allAnswers("--replace")
	args[slices.Index(args, "3")] = "1"
	status, stdout, stderr := command(t, args...)
	if status != 0 || !strings.Contains(stdout, "was told to load it again") || !strings.Contains(stdout, "Next: enter these settings") {
		t.Fatalf("%s\n%s", stderr, stdout)
	}
	out.find(t, loaded)
	reply, err := maildrop.Send(address, "me@home.example", []string{"you@there.example"}, "From: me@home.example\nTo: a@there.example, b@there.example\n\nHi\n")
	if err != nil || !strings.HasPrefix(reply, "550 5.7.1 Not sent: every recipient would see 2 outside addresses (limit 1)") {
		t.Errorf("the old limit holds: %q %v", reply, err)
	}
}

// serveWith runs the guard as a process, and returns what it logs.
func serveWith(t *testing.T, config string) (out *lines, stop func()) {
	t.Helper()
	out = &lines{changed: make(chan struct{}, 1)}
	guard := sendguard(t, "serve", "--config", config)
	guard.Stderr = out
	if err := guard.Start(); err != nil {
		t.Fatal(err)
	}
	return out, func() { guard.Process.Signal(os.Interrupt); guard.Wait() }
}
