//go:build linux

package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestServiceShowsWhatItWouldDo(t *testing.T) {
	if _, err := exec.LookPath("systemctl"); err != nil {
		t.Skip("no systemd here")
	}
	c := writeConfig(t, minimal)
	for _, tc := range []struct {
		args           []string
		status         int
		stdout, stderr string
	}{
		{[]string{"install", "--system", "--print", "--config", c}, 0, "\nUser=sendguard\n", ""},
		{[]string{"install", "--system", "--print", "--config", c}, 0, " serve --config " + c + "\n", ""},
		{[]string{"install", "--user", "--print", "--config", c}, 0, "WantedBy=default.target\n", ""},
		{[]string{"restart", "--user", "--print"}, 0, "systemctl --user restart sendguard.service\n", ""},
		{[]string{"restart", "--system", "--print"}, 0, "systemctl restart sendguard.service\n", ""},
		{[]string{"start", "--system", "--user"}, 2, "", "none of the others can be"},
		{[]string{"again"}, 2, "", "unknown command"},
	} {
		status, stdout, stderr := command(t, append([]string{"service"}, tc.args...)...)
		if status != tc.status || !strings.Contains(stdout, tc.stdout) || !strings.Contains(stderr, tc.stderr) || (status == 0) != (stderr == "") {
			t.Errorf("%q: status %d\nstdout %q\nstderr %q", tc.args, status, stdout, stderr)
		}
	}
}

// TestServiceInstallsNothingThatWouldNotStart: the program of the test lies in
// the folder for temporary files.
func TestServiceInstallsNothingThatWouldNotStart(t *testing.T) {
	if _, err := exec.LookPath("systemctl"); err != nil {
		t.Skip("no systemd here")
	}
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	bad, good := writeConfig(t, "x: 1\n"), writeConfig(t, minimal)
	for _, tc := range []struct{ scope, config, want string }{
		{"--user", bad, "c.yaml:1: x: unknown key"},
		{"--system", bad, "c.yaml:1: x: unknown key"},
		{"--user", good, "will be gone"},
		{"--system", good, "sees nothing there"},
	} {
		if status, stdout, stderr := command(t, "service", "install", tc.scope, "--config", tc.config); status != 2 || stdout != "" || !strings.Contains(stderr, tc.want) {
			t.Errorf("%v: status %d %q %q", tc, status, stdout, stderr)
		}
	}
	if left, err := os.ReadDir(os.Getenv("XDG_CONFIG_HOME")); err != nil || len(left) > 0 {
		t.Errorf("it wrote %v, %v", left, err)
	}
}
