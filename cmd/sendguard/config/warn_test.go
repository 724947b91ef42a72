//go:build unix

package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFilesThatOthersCanGetAtAreWarnedOf(t *testing.T) {
	dir := withCertificate(t)
	for name, text := range map[string]string{"users": "", "password": "sesame"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := "routes:\n" +
		"  - {name: work, listen: \"127.0.0.1:1587\", users_file: users, tls: {cert: cert.pem, key: key.pem}, upstream: {address: \"127.0.0.1:25\", tls: none,\n" +
		"     auth: login, username: me, password_file: password}}\n" +
		"  - {name: spelled, listen: \"127.0.0.1:1588\", upstream: {address: \"127.0.0.1:25\", tls: none, auth: login, username: me, password: open}}\n" +
		"  - {name: variable, listen: \"127.0.0.1:1589\", upstream: {address: \"127.0.0.1:25\", tls: none, auth: login, username: me, password: \"${SENDGUARD_TEST_PASSWORD}\"}}\n" +
		"policy: {individual: {state: \"redis://guard:open@127.0.0.1/0\"}}\n"
	t.Setenv("SENDGUARD_TEST_PASSWORD", "sesame")
	for _, tc := range []struct {
		file string
		mode os.FileMode
		want []string
	}{
		{"cert.pem", 0o644, nil}, // is for everybody
		{"key.pem", 0o640, nil},
		{"key.pem", 0o644, []string{"2 work routes[0].tls.key can be read"}},
		{"key.pem", 0o602, []string{"2 work routes[0].tls.key can be written to"}},
		{"password", 0o604, []string{"3 work routes[0].upstream.password_file can be read"}},
		{"password", 0o666, []string{"3 work routes[0].upstream.password_file can be written to"}},
		{"users", 0o644, nil}, // has hashes
		{"users", 0o622, []string{"2 work routes[0].users_file can be written to"}},
		{"c.yaml", 0o644, []string{"4 spelled routes[1].upstream.password can be read", "6  policy.individual.state can be read"}},
	} {
		c, problem := inFolder(t, dir, text)
		if problem != "" {
			t.Fatal(problem)
		}
		path := filepath.Join(dir, tc.file)
		if err := os.Chmod(path, tc.mode); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, w := range c.Warnings() {
			if s := w.String(); !strings.Contains(s, "warning: "+path+" can be ") || strings.Contains(w.Text, dir) {
				t.Errorf("%q, %q", s, w.Text)
			}
			line := strings.Split(w.String(), ":")[1]
			got = append(got, fmt.Sprintf("%s %s %s %s", line, w.Route, w.Key, strings.TrimSuffix(w.Text, " by every account of this machine")))
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s with %v: %q, want %q", tc.file, tc.mode, got, tc.want)
		}
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
