package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sendguard/proxy/users"
)

// user carries out sendguard user with a password on standard input.
func user(t *testing.T, password string, args ...string) (status int, output string) {
	t.Helper()
	root := rootCommand()
	var out bytes.Buffer
	root.SetArgs(append([]string{"user"}, args...))
	root.SetIn(strings.NewReader(password))
	root.SetOut(&out)
	root.SetErr(&out)
	if err := root.ExecuteContext(t.Context()); err != nil {
		return 2, err.Error()
	}
	return 0, out.String()
}

func TestUserAddsAndReplaces(t *testing.T) {
	config := writeConfig(t, strings.Replace(minimal, "listen", "users_file: users\n    listen", 1))
	config2 := strings.Replace(minimal, "587}", "587, auth: none}", 1)
	if err := os.WriteFile(config, []byte(strings.Replace(config2, "listen", "users_file: users\n    listen", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(filepath.Dir(config), "users")
	if status, out := user(t, "one\n", "alice", "--config", filepath.Join(t.TempDir(), "none")); status != 2 || !strings.Contains(out, "--file") {
		t.Errorf("without a configuration: %d %s", status, out)
	}
	if status, out := user(t, "one\n", "alice", "--config", config); status != 0 || out != "alice can log in now ("+path+")\n" {
		t.Errorf("%d %s", status, out)
	}
	first, _ := os.ReadFile(path)
	if err := os.WriteFile(path, append([]byte("# ours\n\n"), first...), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bob@home.example", "alice"} {
		if status, out := user(t, "two", name, "--config", config); status != 0 {
			t.Errorf("%s", out)
		}
	}
	text, _ := os.ReadFile(path)
	lines := strings.Split(string(text), "\n")
	if len(lines) != 5 || lines[0] != "# ours" || lines[1] != "" || !strings.HasPrefix(lines[2], "alice:$argon2id$v=19$m=19456,t=2,p=1$") ||
		strings.Contains(string(text), string(first)) || !strings.HasPrefix(lines[3], "bob@home.example:$argon2id$") {
		t.Errorf("the file is %s", text)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if err := users.CheckFile(path); err != nil {
		t.Error(err)
	}
	for name, password := range map[string]string{"a:b": "x", "a b": "x", "#a": "x", "": "x", "carol": "\n"} {
		if status, _ := user(t, password, name, "--file", path); status != 2 {
			t.Errorf("%q with password %q was taken", name, password)
		}
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(after, text) {
		t.Errorf("the file is now %s", after)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 3 { // the configuration, the file and its lock
		t.Errorf("left over: %v", left)
	}
}

func TestUsersAddedAtOnceAreAllThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if status, out := user(t, "x", fmt.Sprint("user", i), "--file", path); status != 0 {
				t.Error(out)
			}
		})
	}
	wg.Wait()
	text, err := os.ReadFile(path)
	if lines := bytes.Count(text, []byte("\n")); err != nil || lines != 8 {
		t.Errorf("%d users are there: %v", lines, err)
	}
}
