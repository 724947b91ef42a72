package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sendguard/cmd/sendguard/maildrop"
)

func TestMain(m *testing.M) {
	resolver = noDNS
	if os.Getenv(asChild) != "" {
		main()
	}
	runtimeDir, err := os.MkdirTemp("", "sendguard-test-")
	if err != nil {
		panic(err)
	}
	os.Setenv("RUNTIME_DIRECTORY", runtimeDir) // and not the system's
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		os.RemoveAll(runtimeDir)
		os.Exit(status)
	}))
}

const patience = 10 * time.Second

// command carries out a command line to its end.
func command(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out, errs bytes.Buffer
	status = run(ctx, args, &out, &errs)
	return status, out.String(), errs.String()
}

// minimal is the smallest configuration that there is.
const minimal = "routes:\n  - listen: 127.0.0.1:1587\n    upstream: {address: smtp.example.com:587}\n"

func writeConfig(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExitStatusesAndWords(t *testing.T) {
	bad := writeConfig(t, "x: 1\n")
	for _, tc := range []struct {
		args           []string
		status         int
		stdout, stderr string
	}{
		{[]string{"version"}, 0, "sendguard devel, commit ", ""},
		{nil, 0, "sendguard demo", ""},
		{[]string{"--help"}, 0, "serve", ""},
		{[]string{"config", "--config", bad}, 2, "", "c.yaml:1: x: unknown key"},
		{[]string{"config", "--config", "/no/such/file"}, 2, "", "/no/such/file"},
		{[]string{"serve", "--config", bad}, 2, "", "c.yaml:1: x: unknown key"},
		{[]string{"serve", "extra"}, 2, "", "unknown command"},
		{[]string{"nonsense"}, 2, "", "unknown command"},
		{[]string{"serve", "--nonsense"}, 2, "", "unknown flag"},
		{[]string{"demo", "--listen", "0.0.0.0:1587"}, 2, "", "loopback"},
		{[]string{"healthcheck", "--config", writeConfig(t, minimal+"metrics: {listen: \"127.0.0.1:1\"}\n")}, 1, "", "not ready"},
	} {
		status, stdout, stderr := command(t, tc.args...)
		if status != tc.status || !strings.Contains(stdout, tc.stdout) || !strings.Contains(stderr, tc.stderr) || (status == 0) != (stderr == "") {
			t.Errorf("%q: status %d\nstdout %q\nstderr %q", tc.args, status, stdout, stderr)
		}
	}
}

func TestConfigSaysInOneLineThatAllIsGood(t *testing.T) {
	path := writeConfig(t, minimal)
	status, stdout, stderr := command(t, "config", "--config", path)
	if want := path + " is good: 1 route, 0 rules, action reject\n"; status != 0 || stdout != "" || stderr != want {
		t.Errorf("%d %q %q", status, stdout, stderr)
	}
	if _, stdout, _ := command(t, "config", "--print", "--config", path); !strings.HasPrefix(stdout, "routes:\n") || !strings.Contains(stdout, "external: 10") {
		t.Errorf("--print: %q", stdout)
	}
}

// An upstream that is silent takes its time; so do all of them, together.
func TestConfigConnectTriesAllUpstreamsAtOnce(t *testing.T) {
	const silent = 4
	met := make(chan struct{})
	text, open := "routes:\n", make(chan struct{}, silent)
	for range silent {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			if conn, err := l.Accept(); err == nil {
				defer conn.Close()
				if open <- struct{}{}; len(open) == silent {
					close(met)
				}
				<-met // none goes on before all are there
			}
		}()
		text += fmt.Sprintf("  - {listen: \"127.0.0.1:0\", upstream: {address: \"%s\", tls: none}}\n", l.Addr())
	}
	status, _, stderr := command(t, "config", "--connect", "--config", writeConfig(t, strings.Replace(text, "127.0.0.1:0", "127.0.0.1:1587", 1)))
	if status != 1 || strings.Count(stderr, "connection lost") != silent {
		t.Errorf("%d %q", status, stderr)
	}
}

func TestTheConfigurationIsFoundInTheEnvironment(t *testing.T) {
	t.Setenv("SENDGUARD_CONFIG", writeConfig(t, minimal+"policy: {limits: {external: 3}}\n"))
	if status, stdout, stderr := command(t, "config", "--print"); status != 0 || !strings.Contains(stdout, "external: 3") {
		t.Errorf("%d %q %q", status, stdout, stderr)
	}
	t.Setenv("SENDGUARD_CONFIG", "")
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	if status, _, stderr := command(t, "config"); status != 2 || !strings.Contains(stderr, "no configuration file: looked for ") {
		t.Errorf("%d %q", status, stderr)
	}
}

func TestWhatConfigPrintsIsAConfiguration(t *testing.T) {
	_, printed, _ := command(t, "config", "--print", "--config", "../../config.example.yaml")
	status, again, stderr := command(t, "config", "--print", "--config", writeConfig(t, printed))
	if status != 0 || again != printed {
		t.Errorf("%d %s\n%s\n%s", status, stderr, printed, again)
	}
}

func TestConfigConnectTriesEachUpstream(t *testing.T) {
	drop, err := maildrop.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer drop.Close()
	good := fmt.Sprintf("routes:\n  - listen: 127.0.0.1:1587\n    upstream: {address: \"%s\", tls: none}\n", drop.Addr())
	status, stdout, stderr := command(t, "config", "--connect", "--config", writeConfig(t, good))
	if want := "route route1: " + drop.Addr() + ": no TLS; offers 8BITMIME, "; status != 0 || stdout != "" || !strings.Contains(stderr, want) {
		t.Errorf("%d %q %q", status, stdout, stderr)
	}
	bad := good + "  - listen: 127.0.0.1:1588\n    upstream: {address: \"127.0.0.1:1\", tls: none}\n" +
		"  - listen: 127.0.0.1:1589\n    upstream: {address: \"" + drop.Addr() + "\"}\n"
	status, _, stderr = command(t, "config", "--connect", "--config", writeConfig(t, bad))
	if want := "route route2: 127.0.0.1:1: connection refused\nroute route3: " + drop.Addr() + ": it does not offer STARTTLS\n"; status != 1 || !strings.HasSuffix(stderr, want) {
		t.Errorf("%d %q", status, stderr)
	}
}

func TestDemoTellsItsStory(t *testing.T) {
	status, out, stderr := command(t, "demo")
	if status != 0 {
		t.Fatal(stderr)
	}
	for _, want := range []string{
		"1. An ordinary mail\n", "250 2.0.0 OK: queued",
		"550 5.7.1 Not sent: every recipient would see 43 addresses (limit 10). Move them to Bcc, or put [show 43] in the subject to send anyway.",
		"delivered:           nothing", "each recipient sees: 43 addresses (40 in To, 3 in Cc), Subject: Looking for a job\n",
		"each recipient sees: nobody's address but the sender's", `sendguard_concealed_addresses_total{route="demo",rule="policy"} 43`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the story lacks %q:\n%s", want, out)
		}
	}
	maildir := regexp.MustCompile(`\S+/Maildir`).FindString(out)
	kept, err := os.ReadDir(maildir + "/new")
	if err != nil || len(kept) != 3 {
		t.Errorf("%d messages in %s, %v", len(kept), maildir, err)
	}
	os.RemoveAll(strings.TrimSuffix(maildir, "/Maildir"))
}

func TestDemoKeepsRunningForAMailClient(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	out := &lines{changed: make(chan struct{}, 1)}
	status := make(chan int)
	go func() { status <- run(ctx, []string{"demo", "--listen", "127.0.0.1:0"}, out, out) }()
	port := out.find(t, `server 127.0.0.1, port (\d+), connection security: none`)[1]
	reply, err := maildrop.Send("127.0.0.1:"+port, "me@home.example", []string{"you@there.example"}, "From: me@home.example\nno colon\n")
	if err != nil || !strings.HasPrefix(reply, "550 5.6.0 Not sent: the header of this message cannot be read (line 2)") {
		t.Errorf("%q %v", reply, err)
	}
	out.find(t, "msg=message route=demo session=\\d+ outcome=refused_by_policy")
	stop()
	if code := <-status; code != 0 {
		t.Errorf("ended with %d", code)
	}
	os.RemoveAll(strings.TrimSuffix(out.find(t, `(\S+)/Maildir`)[1], "/Maildir"))
}

// lines collects what a running command prints, and gives out what it waits for.
type lines struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{}
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	select {
	case l.changed <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) find(t *testing.T, pattern string) []string {
	t.Helper()
	return l.findBehind(t, 0, pattern)
}

// findBehind is find in what is printed behind the first bytes.
func (l *lines) findBehind(t *testing.T, first int, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	timeout := time.After(patience)
	for {
		l.mu.Lock()
		m := re.FindStringSubmatch(l.text.String()[first:])
		l.mu.Unlock()
		if m != nil {
			return m
		}
		select {
		case <-l.changed:
		case <-timeout:
			t.Fatalf("%s did not come; there is\n%s", pattern, l.text.String())
		}
	}
}

func TestServeRunsUntilItIsStopped(t *testing.T) {
	drop, err := maildrop.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer drop.Close()
	path := writeConfig(t, fmt.Sprintf("routes:\n  - name: work\n    listen: 127.0.0.1:0\n    upstream: {address: \"%s\", tls: none}\nmetrics: {listen: 127.0.0.1:0}\nlog: {format: json}\n", drop.Addr()))
	ctx, stop := context.WithCancel(t.Context())
	log := &lines{changed: make(chan struct{}, 1)}
	status := make(chan int)
	go func() { status <- run(ctx, []string{"serve", "--config", path}, log, log) }()
	addr := log.find(t, `"msg":"listening","route":"work","listen":"([^"]+)"`)[1]
	metrics := log.find(t, `"msg":"metrics","listen":"([^"]+)"`)[1]
	if reply, err := maildrop.Send(addr, "me@home.example", []string{"you@there.example"}, "From: me@home.example\nTo: you@there.example\n\nHello\n"); err != nil || !strings.HasPrefix(reply, "250") {
		t.Errorf("%q %v", reply, err)
	}
	log.find(t, `"msg":"message","route":"work","session":\d+,"outcome":"accepted".*"verdict":"allow"`)
	if code, out, errs := command(t, "healthcheck", "--address", metrics); code != 0 || out != "ready\n" {
		t.Errorf("healthcheck: %d %q %q", code, out, errs)
	}
	stop()
	if code := <-status; code != 0 {
		t.Errorf("serve ended with %d", code)
	}
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("it still listens")
	}
	if strings.Contains(log.text.String(), "example") {
		t.Errorf("the log holds a domain:\n%s", log.text.String())
	}
}

func TestServeSaysWhenAnAddressIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := strings.Replace(minimal, "127.0.0.1:1587", l.Addr().String(), 1)
	if status, _, stderr := command(t, "serve", "--config", writeConfig(t, taken)); status != 1 || !strings.Contains(stderr, "cannot listen: ") || !strings.Contains(stderr, "address already in use") {
		t.Errorf("%d %q", status, stderr)
	}
	free := strings.Replace(minimal, "127.0.0.1:1587", "127.0.0.1:0", 1) + "metrics: {listen: \"" + l.Addr().String() + "\"}\n"
	if status, _, stderr := command(t, "serve", "--config", writeConfig(t, free)); status != 1 || !strings.Contains(stderr, "cannot listen for metrics: ") {
		t.Errorf("%d %q", status, stderr)
	}
}
