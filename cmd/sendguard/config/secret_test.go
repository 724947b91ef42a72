package config

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// withLogin is a configuration in which sendguard logs in.
func withLogin(password string) string {
	return "routes:\n  - listen: 127.0.0.1:1587\n    upstream: {address: smtp.example.com:587, auth: login, username: robot, " + password + "}\n"
}

func TestAPasswordComesFromWhereItIsKept(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "smtp"), []byte("open sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", dir) // as systemd sets it
	t.Setenv("SENDGUARD_TEST_PASSWORD", "open sesame")
	for _, text := range []string{
		`password: open sesame`, `password: "${SENDGUARD_TEST_PASSWORD}"`, `password_file: "${CREDENTIALS_DIRECTORY}/smtp"`,
		`password_command: "echo open sesame"`, `password_command: "printf 'open sesame\\r\\n'"`,
	} {
		c, err := Load(writeConfig(t, withLogin(text)))
		if err != nil {
			t.Fatal(err)
		}
		routes, err := c.ProxyRoutes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		login := routes[0].Upstream.Login
		if login.Password != "open sesame" || (login.Reread == nil) != strings.HasPrefix(text, "password:") {
			t.Errorf("%s: %q", text, login.Password)
		}
		if shown := printed(t, c); strings.Contains(text, "password:") != strings.Contains(shown, "password: (hidden)") ||
			!strings.Contains(text, "echo") && strings.Contains(shown, "open sesame\n") {
			t.Errorf("config printed %s", shown)
		}
	}
}

func TestACommandThatGivesNoPassword(t *testing.T) {
	for command, want := range map[string]string{
		"exit 3":                        "exit status 3 (run it by hand to see why)",
		"true":                          "its output is empty",
		"echo one; echo two":            "its output has more than one line",
		"no-such-program-here 2>&1":     "exit status 127 (run it by hand to see why)",
		"while :; do echo aaaaaa; done": "not done within",
		"sleep 60 & sleep 60":           "not done within",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		start := time.Now()
		got, err := runForSecret(ctx, command)
		if err == nil || got != "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v", command, got, err)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s: %v", command, took)
		}
		cancel()
	}
	c, err := Load(writeConfig(t, withLogin(`password_command: "exit 3"`)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ProxyRoutes(t.Context()); err == nil || !strings.HasSuffix(err.Error(), "c.yaml:3: routes[0].upstream.password_command: exit status 3 (run it by hand to see why)") {
		t.Errorf("got %v", err)
	}
}
