package main

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sendguard/cmd/sendguard/config"
	"sendguard/cmd/sendguard/maildrop"
	"sendguard/cmd/sendguard/setup"
)

func TestSetupByFlagsWritesAConfigurationAndSendsNothing(t *testing.T) {
	path, s := newHome(t), newSubmission(t, nil)
	status, stdout, stderr := command(t, s.allAnswers()...)
	if status != 0 || stderr != "" {
		t.Fatalf("%d %s\n%s", status, stderr, stdout)
	}
	c, err := config.Load(path)
	if err != nil || c.Routes[0].Upstream.Address != s.addr || c.Routes[0].Upstream.Auth != "relay" || !slices.Equal(c.Policy.InternalDomains, []string{"home.example"}) {
		t.Errorf("%v %v", c, err)
	}
	info, err := os.Stat(path)
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	host, port, _ := net.SplitHostPort(c.Routes[0].Listen)
	for _, want := range []string{"It answers: no TLS.", `with smtplib.SMTP("` + host + `", ` + port + `) as server:`, `server.login("me@home.example", password)`, "wrote    " + path} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	if last := strings.TrimSpace(stdout[strings.LastIndex(stdout, "\nNext: "):]); !strings.Contains(last, " serve") || strings.Contains(last, "\n") {
		t.Errorf("the last line is not the one thing to do: %q", last)
	}
	if said := s.said.String(); !strings.Contains(said, "EHLO ") || strings.Contains(said, "MAIL") || strings.Contains(said, "RCPT") {
		t.Errorf("it said\n%s", said)
	}
}

func TestSetupSaysAtOnceWhichFlagsAreMissing(t *testing.T) {
	path, s := newHome(t), newSubmission(t, nil)
	status, _, stderr := command(t, "setup", "--account", "me@home.example", "--server", s.addr, "--tls", "none")
	if status != 2 {
		t.Errorf("status %d", status)
	}
	for _, want := range []string{"no terminal", "--auth ", "--internal ", "--sent ", "--limit ", "--client ", "--yes"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("no %q in\n%s", want, stderr)
		}
	}
	nothingIn(t, filepath.Dir(filepath.Dir(path)))
	for flag, value := range map[string]string{"account": "nobody", "server": "a b", "auth": "magic", "internal": "*", "limit": "-1", "client": "pigeon", "provider": "x", "tls": "soon", "listen": "here"} {
		args := s.allAnswers()
		if i := slices.Index(args, "--"+flag); i > 0 {
			args[i+1] = value
		} else {
			args = append(args, "--"+flag, value)
		}
		if status, _, stderr := command(t, args...); status != 2 || !strings.Contains(stderr, flag) {
			t.Errorf("--%s %s: %d %s", flag, value, status, stderr)
		}
	}
	if status, _, stderr := command(t, s.allAnswers("--client-id", "x")...); status != 2 || !strings.Contains(stderr, "--client-id has no use") {
		t.Errorf("%d %s", status, stderr)
	}
	nothingIn(t, filepath.Dir(filepath.Dir(path)))
}

func TestSetupTakesWhatIsSuggestedWhereItIsToldTo(t *testing.T) {
	path, s := newHome(t), newSubmission(t, nil)
	status, stdout, stderr := command(t, "setup", "--yes", "--account", "me@home.example", "--server", s.addr, "--tls", "none", "--service", "none")
	if status != 0 {
		t.Fatalf("%s\n%s", stderr, stdout)
	}
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), "internal_domains: [home.example]") || strings.Contains(string(text), "limits") {
		t.Errorf("%s %v", text, err)
	}
}

func TestSetupKeepsTheConfigurationThatIsThere(t *testing.T) {
	path, s := newHome(t), newSubmission(t, nil)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	before := strings.Replace(minimal, "1587", "21777", 1) + "metrics: {listen: \"127.0.0.1:21778\"}\n"
	if err := os.WriteFile(path, []byte(before), 0o640); err != nil {
		t.Fatal(err)
	}
	for _, more := range [][]string{nil, {"--yes"}} {
		if status, _, stderr := command(t, s.allAnswers(more...)...); status != 2 || !strings.Contains(stderr, "--replace") {
			t.Errorf("%d %s", status, stderr)
		}
	}
	if text, _ := os.ReadFile(path); string(text) != before {
		t.Errorf("it is now %s", text)
	}
	if status, stdout, stderr := command(t, s.allAnswers("--replace")...); status != 0 || !strings.Contains(stdout, "127.0.0.1\", 21777") {
		t.Fatalf("%s\n%s", stderr, stdout)
	}
	copies, _ := filepath.Glob(path + ".*.old")
	if len(copies) != 1 {
		t.Fatalf("copies: %v", copies)
	}
	if text, err := os.ReadFile(copies[0]); string(text) != before {
		t.Errorf("the copy is %s, %v", text, err)
	}
	after, _ := os.ReadFile(path)
	if !strings.Contains(string(after), s.addr) || !strings.Contains(string(after), "listen: 127.0.0.1:21777 ") || !strings.Contains(string(after), "listen: 127.0.0.1:21778\n") {
		t.Errorf("listeners are what mail programs and scrapers know:\n%s", after)
	}
	if info, _ := os.Stat(path); runtime.GOOS != "windows" && info.Mode().Perm() != 0o640 {
		t.Errorf("its owner wanted another mode than %v", info.Mode())
	}
}

func TestSetupSaysWhatToDoWhereThereIsNoConnection(t *testing.T) {
	good, ca := withAuthority(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	plain, secured := newSubmission(t, nil), newSubmission(t, good)
	drop, err := maildrop.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer drop.Close()
	implicit, err := tls.Listen("tcp", "127.0.0.1:0", good)
	if err != nil {
		t.Fatal(err)
	}
	defer implicit.Close()
	for _, tc := range []struct {
		name   string
		flags  []string
		status int
		want   []string
	}{
		{"nothing listens", []string{"--server", closed.Addr().String()}, 1, []string{"connection refused", "port 587 (STARTTLS) or 465"}},
		{"no STARTTLS", []string{"--server", plain.addr}, 1, []string{"does not offer STARTTLS", "--tls none"}},
		{"TLS where none begins", []string{"--server", plain.addr, "--tls", "implicit"}, 1, []string{"does not begin with TLS", "--tls starttls"}},
		{"a stranger's certificate", []string{"--server", secured.addr}, 1, []string{"not trusted", "--ca-file"}},
		{"another name", []string{"--server", newSubmissionAt(t, "127.0.0.2:0", good).addr, "--ca-file", ca}, 1, []string{"for another name", "Use the name that the certificate has"}},
		{"a trusted one", []string{"--server", secured.addr, "--ca-file", ca}, 0, nil},
		{"no such file", []string{"--server", secured.addr, "--ca-file", "/no/such.pem"}, 2, []string{"/no/such.pem"}},
		{"round in circles", []string{"--server", plain.addr, "--tls", "none", "--listen", plain.addr}, 2, []string{"round in circles"}},
	} {
		path := newHome(t)
		args := append([]string{"setup", "--yes", "--account", "me@home.example", "--service", "none"}, tc.flags...)
		status, stdout, stderr := command(t, args...)
		for _, want := range tc.want {
			if !strings.Contains(stderr, want) {
				t.Errorf("%s: no %q in %q\n%s", tc.name, want, stderr, stdout)
			}
		}
		if status != tc.status {
			t.Errorf("%s: status %d: %s", tc.name, status, stderr)
		}
		if status != 0 {
			nothingIn(t, filepath.Dir(filepath.Dir(path)))
		}
	}
}

// TestSetupKeepsAPasswordInAFileOfItsOwn tries it at the server first.
func TestSetupKeepsAPasswordInAFileOfItsOwn(t *testing.T) {
	path, s := newHome(t), newSubmission(t, nil)
	args := func(more ...string) []string {
		all := s.allAnswers(more...)
		all[slices.Index(all, "relay")] = "login"
		return append(all, "--username", "me@home.example")
	}
	if status, stderr := withInput(t, "wrong\n", args("--password-file", "-")...); status != 1 || !strings.Contains(stderr, "it refused the login") {
		t.Errorf("%d %s", status, stderr)
	}
	nothingIn(t, filepath.Dir(filepath.Dir(path)))
	if status, stderr := withInput(t, "right\n", args("--password-file", "-")...); status != 0 {
		t.Fatal(stderr)
	}
	text, _ := os.ReadFile(path)
	secret := filepath.Join(filepath.Dir(path), "smtp-password")
	if password, err := os.ReadFile(secret); string(password) != "right\n" || strings.Contains(string(text), "right") || !strings.Contains(string(text), "password_file: smtp-password\n") {
		t.Errorf("%q %v\n%s", password, err, text)
	}
	if info, _ := os.Stat(secret); runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	own := filepath.Join(t.TempDir(), "mine")
	if err := os.WriteFile(own, []byte("right\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, from := range [][]string{{"--password-file", own}, {"--password-command", "cat '" + own + "'"}} {
		if status, stderr := withInput(t, "", append(args("--replace"), from...)...); status != 0 {
			t.Errorf("%v: %s", from, stderr)
		}
		if text, _ := os.ReadFile(path); !strings.Contains(string(text), own) {
			t.Errorf("%v:\n%s", from, text)
		}
	}
}

// withInput is command with a standard input.
func withInput(t *testing.T, input string, args ...string) (status int, stderr string) {
	t.Helper()
	root := rootCommand()
	root.SetArgs(args)
	root.SetIn(strings.NewReader(input))
	root.SetOut(io.Discard)
	root.SetErr(io.Discard)
	switch err := root.ExecuteContext(t.Context()); {
	case err == nil:
		return exitOK, ""
	case errors.As(err, new(faultError)):
		return exitFault, err.Error()
	default:
		return exitUsage, err.Error()
	}
}

// TestSetupShowsWhatEachLimitMeansForTheMailThatWasSent, whatever it would have
// stopped.
func TestSetupShowsWhatEachLimitMeansForTheMailThatWasSent(t *testing.T) {
	path, s := newHome(t), newSubmission(t, nil)
	sent := filepath.Join(os.Getenv("HOME"), "Maildir", ".Sent", "cur")
	if err := os.MkdirAll(sent, 0o700); err != nil {
		t.Fatal(err)
	}
	for n, to := range []string{"ann@there.example", many(12)} {
		text := "From: me@home.example\nTo: " + to + "\n\nHi\n"
		if err := os.WriteFile(filepath.Join(sent, strconv.Itoa(n)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	status, stdout, stderr := command(t, s.allAnswers("--sent", filepath.Dir(sent))...)
	if status != 0 || !strings.Contains(stdout, "2 messages read. Under the policy in force:  allow 1  reject 1") || !strings.Contains(stdout, "What each limit on outside addresses") {
		t.Errorf("%d %s\n%s", status, stderr, stdout)
	}
	if strings.Contains(stdout, "there.example") {
		t.Errorf("whom the mail was sent to is shown:\n%s", stdout)
	}
	if text, err := os.ReadFile(path); !strings.Contains(string(text), "external: 3") {
		t.Errorf("%s %v", text, err)
	}
}

// many are n addresses.
func many(n int) string {
	var all []string
	for i := range n {
		all = append(all, "a"+strconv.Itoa(i)+"@there.example")
	}
	return strings.Join(all, ", ")
}

func TestEachClientIsToldWhoLogsIn(t *testing.T) {
	for _, c := range setup.Clients {
		for _, login := range []bool{true, false} {
			text, err := c.Settings(setup.Guard{Host: "127.0.0.1", Port: "1587", From: "me@home.example", Login: login})
			if err != nil || !strings.Contains(text, "127.0.0.1") || !strings.Contains(text, "1587") {
				t.Errorf("%s: %v\n%s", c.Name, err, text)
			}
			if !login && strings.Contains(strings.ToLower(text), "password") {
				t.Errorf("%s is to log in where sendguard does:\n%s", c.Name, text)
			}
		}
	}
}
