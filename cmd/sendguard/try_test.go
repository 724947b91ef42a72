//go:build unix

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sendguard/cmd/sendguard/config"
)

// asNobody carries out a command line as an account that may write nowhere. Where
// the tests are not root's, they are such an account's in a folder without rights.
func asNobody(t *testing.T, args ...string) (status int, stderr string) {
	t.Helper()
	self := os.Args[0]
	cmd := exec.CommandContext(t.Context(), self, args...)
	if os.Geteuid() == 0 {
		cmd.Path = copyOf(t, self)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	cmd.Env = append(os.Environ(), asChild+"=1")
	var errs strings.Builder
	cmd.Stderr = &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), errs.String()
}

// copyOf puts a program where every account may run it.
func copyOf(t *testing.T, program string) string {
	t.Helper()
	in, err := os.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	path := filepath.Join(openFolder(t), "program")
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	return path
}

// openFolder is one that every account may look into.
func openFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestWhatCannotBeWrittenToIsAMistakeOfTheConfiguration(t *testing.T) {
	dir := openFolder(t)
	closed := filepath.Join(dir, "closed")
	if err := os.Mkdir(closed, 0o555); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", closed)
	path := filepath.Join(dir, "c.yaml")
	for _, tc := range []struct{ text, key string }{
		{"server: {spool_dir: closed}\n", "4: server.spool_dir"},
		{"policy: {action: individual}\n", "1: server.spool_dir"}, // the temporary folder
		{"policy: {rules: [{match: {reply: true}, action: individual}]}\n", "1: server.spool_dir"},
		{"policy: {individual: {state: \"bolt:closed/sends\"}}\n", "4: policy.individual.state"},
	} {
		text := strings.Replace(minimal, "127.0.0.1:1587", "127.0.0.1:0", 1) + tc.text + "metrics: {listen: 127.0.0.1:0}\n"
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, command := range []string{"config", "serve"} {
			status, stderr := asNobody(t, command, "--config", path)
			want := path + ":" + tc.key + ": cannot be written to as user " + nobody() + ": "
			if status != exitUsage || !strings.HasPrefix(stderr, want) || !strings.Contains(stderr, "permission denied") {
				t.Errorf("%s with %s: %d %s\nwant %s", command, tc.text, status, stderr, want)
			}
		}
	}
	if entries, err := os.ReadDir(closed); err != nil || len(entries) > 0 {
		t.Errorf("there is %v, %v", entries, err)
	}
	if err := os.WriteFile(path, []byte(minimal), 0o644); err != nil { // nothing is held
		t.Fatal(err)
	}
	if status, stderr := asNobody(t, "config", "--config", path); status != exitOK {
		t.Errorf("%d %s", status, stderr)
	}
}

func nobody() string {
	if os.Geteuid() == 0 {
		return "nobody"
	}
	return config.Account()
}

func TestConfigTriesWithoutAChangeWhileTheGuardRuns(t *testing.T) {
	dir := t.TempDir()
	more := "server: {spool_dir: \"" + dir + "\"}\npolicy: {action: individual, individual: {state: \"bolt:" + dir + "/sends\"}}\n"
	p := startProcess(t, more)
	before := listing(t, dir)
	status, stdout, stderr := command(t, "config", "--config", p.config)
	if want := "; user " + config.Account() + " can write to server.spool_dir, policy.individual.state\n"; status != exitOK || stdout != "" || !strings.HasSuffix(stderr, want) {
		t.Errorf("%d %s%s", status, stdout, stderr)
	}
	if after := listing(t, dir); after != before {
		t.Errorf("there was %s\nand is %s", before, after)
	}
	p.reload(more, loaded, 1)
	p.stop()
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, path := range append([]string{"."}, names(entries)...) {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&all, path, info.Size(), info.ModTime())
	}
	return all.String()
}

func names(entries []os.DirEntry) (all []string) {
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestWarningsAreToldAtTheStartAtAReloadAndByConfig(t *testing.T) {
	dir := t.TempDir()
	users := filepath.Join(dir, "users")
	if err := os.WriteFile(users, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(users, 0o666); err != nil {
		t.Fatal(err)
	}
	more := "  - {name: open, listen: \"127.0.0.1:0\", users_file: \"" + users + "\", upstream: {address: \"127.0.0.1:25\", tls: none, auth: none}}\n"
	p := startProcess(t, more)
	const text = "can be written to by every account of this machine"
	logged := `level=WARN msg="a file ` + text + `" route=open key=routes\[1\].users_file`
	p.out.find(t, logged)
	p.reload(more, logged, 2)
	if strings.Contains(p.out.String(), users) {
		t.Errorf("the log has the path:\n%s", p.out.String())
	}
	status, _, stderr := command(t, "config", "--config", p.config)
	if want := p.config + ":3: routes[1].users_file: warning: " + users + " " + text + "\n"; status != exitOK || !strings.HasPrefix(stderr, want) {
		t.Errorf("%d %q, want %q", status, stderr, want)
	}
	p.stop()
}

func TestHealthcheckTakesNoOtherGuardsAnswerForItsOwn(t *testing.T) {
	p := startProcess(t, "")
	metrics := p.metrics
	if status, stdout, stderr := command(t, "healthcheck", "--address", metrics); status != 0 || stdout != "ready\n" {
		t.Errorf("with an address: %d %q %q", status, stdout, stderr)
	}
	other := writeConfig(t, minimal+"metrics: {listen: \""+metrics+"\"}\n")
	if status, _, stderr := command(t, "healthcheck", "--config", other); status != 1 || !strings.Contains(stderr, "not ready: another sendguard answers there") {
		t.Errorf("with another configuration: %d %q", status, stderr)
	}
	if status, _, stderr := command(t, "healthcheck", "--config", other, "--address", metrics); status != 1 || !strings.Contains(stderr, "takes the place") {
		t.Errorf("with both: %d %q", status, stderr)
	}
	text, err := os.ReadFile(p.config)
	if err != nil {
		t.Fatal(err)
	}
	own := strings.Replace(string(text), "metrics: {listen: 127.0.0.1:0}", "metrics: {listen: \""+metrics+"\"}", 1)
	if err := os.WriteFile(p.config, []byte(own), 0o644); err != nil {
		t.Fatal(err)
	}
	if status, stdout, stderr := command(t, "healthcheck", "--config", p.config); status != 0 || stdout != "ready\n" {
		t.Errorf("with its own configuration: %d %q %q\n%s", status, stdout, stderr, own)
	}
	p.stop()
}
