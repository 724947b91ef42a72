package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sendguard/cmd/sendguard/config"
	"sendguard/cmd/sendguard/setup/dnstest"
)

// terminal opens a terminal (pty(7)): what is written to keys is typed there.
func terminal(t *testing.T) (keys, tty *os.File) {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no terminals here: ", err)
	}
	t.Cleanup(func() { keys.Close() })
	fd := int(keys.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	return keys, tty
}

// A dialog is a run of setup at a terminal.
type dialog struct {
	t      *testing.T
	cmd    *exec.Cmd
	keys   *os.File
	screen *lines
	seen   int // of the screen
}

func startDialog(t *testing.T, args ...string) *dialog {
	t.Helper()
	keys, tty := terminal(t)
	d := &dialog{t: t, keys: keys, screen: &lines{changed: make(chan struct{}, 1)}, cmd: sendguard(t, append([]string{"setup"}, args...)...)}
	d.cmd.Stdin, d.cmd.Stdout, d.cmd.Stderr = tty, tty, tty
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tty.Close()
	shown := make(chan struct{})
	go func() { defer close(shown); io.Copy(d.screen, keys) }() // until nobody has the terminal
	t.Cleanup(func() { d.cmd.Process.Kill(); d.cmd.Wait(); <-shown })
	return d
}

// see waits until the screen shows what is next in line.
func (d *dialog) see(pattern string) {
	d.t.Helper()
	d.screen.findBehind(d.t, d.seen, pattern)
	d.seen += regexp.MustCompile(pattern).FindStringIndex(d.screen.String()[d.seen:])[1]
}

// answers types an answer to each question, when it is asked.
func (d *dialog) answers(pairs ...string) {
	d.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		d.see(pairs[i])
		io.WriteString(d.keys, pairs[i+1])
	}
}

func (d *dialog) end(want int) {
	d.t.Helper()
	timeout := time.AfterFunc(patience, func() { d.cmd.Process.Kill() })
	defer timeout.Stop()
	d.cmd.Wait()
	if status := d.cmd.ProcessState.ExitCode(); status != want {
		d.t.Errorf("status %d, want %d:\n%s", status, want, d.screen.String())
	}
}

// The questions, in their order; what stands before the cursor.
const (
	qAccount  = `E-mail address of the account: $`
	qProvider = `(?s)Whose server .*Number: $`
	qServer   = `Outgoing server \(host:port\)( \[\S+\])?: $`
	qNow      = `(?s)What now\?.*Number \[1\]: $`
	qAuth     = `(?s)Who logs in at the server\?.*Number \[\d\]: $`
	qInternal = `Domains of your own, or none \[\S+\]: $`
	qSent     = `(?s)sent mail, or none \[none\]: $`
	qLimit    = `Most outside addresses .* \[10\]: $`
	qClient   = `(?s)Which mail program .*Number \[\d\]: $`
	qService  = `(?s)Have the guard started .*Number \[\d\]: $`
	qWrite    = `(?s)Write it\?.*Number \[1\]: $`
)

// usualAnswers are those of somebody whose server is s, up to the last question.
func (s *submission) usualAnswers() []string {
	return []string{qAccount, "me@home.example\n", qProvider, "10\n", qServer, s.addr + "\n", qNow, "3\n", qAuth, "\n", qInternal, "\n", qSent, "\n", qLimit, "3\n", qClient, "mutt\n"}
}

func TestSetupByAnswersWritesAConfiguration(t *testing.T) {
	path, s := newHome(t), newSubmission(t, nil)
	d := startDialog(t, "--service", "none")
	d.answers(qAccount, "nobody\n")
	d.see(`No: "nobody" is not an address`)
	d.answers(s.usualAnswers()...)
	nothingIn(t, filepath.Dir(filepath.Dir(path)))
	d.answers(qWrite, "yes\n")
	d.end(0)
	c, err := config.Load(path)
	if err != nil || c.Routes[0].Upstream.Address != s.addr || len(c.Policy.InternalDomains) != 1 {
		t.Errorf("%v\n%s", err, d.screen.String())
	}
	screen := d.screen.String()
	for _, want := range []string{"does not offer STARTTLS", "Settings for mutt", `smtp://me%40home.example@127.0.0.1:`, "Next: "} {
		if !strings.Contains(screen, want) {
			t.Errorf("no %q in\n%s", want, screen)
		}
	}
	if strings.Contains(screen, "\x1b") {
		t.Errorf("a screen reader reads this:\n%q", screen)
	}
	for line := range strings.SplitSeq(screen, "\r\n") {
		if len(line) > 80 && !strings.Contains(line, "/") { // a path is as long as it is
			t.Errorf("too long for the terminal: %q", line)
		}
	}
	if said := s.said.String(); strings.Contains(said, "MAIL") {
		t.Errorf("it said\n%s", said)
	}
}

// TestSetupStoppedAtAnyQuestionWritesNothing: by Ctrl-C, and by Ctrl-D.
func TestSetupStoppedAtAnyQuestionWritesNothing(t *testing.T) {
	s := newSubmission(t, nil)
	t.Setenv("TMPDIR", t.TempDir())
	all := append(s.usualAnswers(), qWrite, "")
	for _, stop := range []string{"\x03", "\x04"} {
		for n := 0; n < len(all); n += 2 {
			path := newHome(t)
			d := startDialog(t, "--service", "none")
			d.answers(all[:n]...)
			d.answers(all[n], stop)
			d.see("stopped: nothing was written")
			d.end(1)
			nothingIn(t, filepath.Dir(filepath.Dir(path)))
		}
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestSetupAsksBeforeItReplaces(t *testing.T) {
	path, s := newHome(t), newSubmission(t, nil)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("# mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const qReplace = `(?s)There is a configuration already:\s.*Number \[1\]: $`
	d := startDialog(t, s.allAnswers()[1:]...)
	d.answers(qReplace, "\n")
	d.end(1)
	d = startDialog(t, s.allAnswers()[1:]...)
	d.answers(qReplace, "2\n", qWrite, "no\n")
	d.end(1)
	nothingIn(t, filepath.Dir(path), path)
	d = startDialog(t, s.allAnswers()[1:]...)
	d.answers(qReplace, "2\n", qWrite, "\n")
	d.end(0)
	copies, _ := filepath.Glob(path + ".*.old")
	if len(copies) != 1 {
		t.Fatal(copies)
	}
	if text, err := os.ReadFile(copies[0]); string(text) != "# mine\n" {
		t.Errorf("%s %v", text, err)
	}
}

// TestSetupAsksForAPasswordUnseen, until it is the right one.
func TestSetupAsksForAPasswordUnseen(t *testing.T) {
	path, s := newHome(t), newSubmission(t, nil)
	args := append(s.allAnswers()[1:], "--username", "me@home.example")
	for i, a := range args {
		if a == "relay" {
			args[i] = "login"
		}
	}
	d := startDialog(t, args...)
	const qPassword, qUser = `Password \(you will not see it\): $`, `User name at the server \[\S+\]: $`
	d.unseen(qPassword, "guess\n")
	d.see("it refused the login")
	d.answers(qNow, "2\n", qUser, "\n")
	d.unseen(qPassword, "right\n")
	d.answers(qWrite, "\n")
	d.end(0)
	if screen := d.screen.String(); strings.Contains(screen, "guess") || strings.Contains(screen, "right\r") {
		t.Errorf("the password was shown:\n%s", screen)
	}
	if text, err := os.ReadFile(filepath.Join(filepath.Dir(path), "smtp-password")); string(text) != "right\n" {
		t.Errorf("%q %v", text, err)
	}
	d = startDialog(t, append(args, "--replace")...)
	d.unseen(qPassword, "\x03")
	d.end(1)
	if screen := d.screen.String(); !strings.Contains(screen, "nothing was written") {
		t.Error(screen)
	}
	if !d.echoes() {
		t.Error("the terminal shows no more what is typed")
	}
}

// unseen types an answer when the terminal does not show it any more.
func (d *dialog) unseen(question, answer string) {
	d.t.Helper()
	d.see(question)
	for end := time.Now().Add(patience); d.echoes(); {
		if time.Now().After(end) {
			d.t.Fatal("a secret would be shown")
		}
	}
	io.WriteString(d.keys, answer)
}

func (d *dialog) echoes() bool {
	mode, err := unix.IoctlGetTermios(int(d.keys.Fd()), unix.TCGETS)
	return err == nil && mode.Lflag&unix.ECHO != 0
}

func TestSetupShowsWhatTheDNSSaysBeforeItIsTrusted(t *testing.T) {
	newHome(t)
	good, ca := withAuthority(t)
	s := newSubmission(t, good)
	_, port, _ := net.SplitHostPort(s.addr)
	at, _ := strconv.ParseUint(port, 10, 16)
	resolver = dnstest.Zone{"_submission._tcp.firm.example": {dnstest.SRV(0, "localhost.", uint16(at))}}.Serve(t)
	defer func() { resolver = noDNS }()
	rest := []string{"--ca-file", ca, "--auth", "relay", "--internal", "none", "--limit", "3", "--client", "other", "--service", "none"}
	status, stdout, stderr := command(t, append([]string{"setup", "--yes", "--account", "me@firm.example"}, rest...)...)
	if status != 2 || !strings.Contains(stderr, "--server") || !strings.Contains(stdout, "Its DNS names localhost:") || s.said.String() != "" {
		t.Errorf("a server was trusted that nobody knows: %d %s\n%s", status, stderr, stdout)
	}
	keys, tty := terminal(t)
	root, out := rootCommand(), &lines{changed: make(chan struct{}, 1)}
	root.SetArgs(append([]string{"setup", "--account", "me@firm.example"}, rest...))
	root.SetIn(tty)
	root.SetOut(out)
	root.SetErr(out)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	done := make(chan error)
	go func() { done <- root.ExecuteContext(ctx) }()
	d := &dialog{t: t, keys: keys, screen: out}
	d.see(`(?s)Its DNS names localhost:\d+\. Anybody .*Outgoing server`)
	d.answers(`: $`, "\n", qWrite, "\n")
	if err := <-done; err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	if text, err := os.ReadFile(os.Getenv("SENDGUARD_CONFIG")); !strings.Contains(string(text), "address: localhost:") {
		t.Errorf("%s %v", text, err)
	}
}
