//go:build unix

package main

import (
	"os"
	"path/filepath"
	"testing"
)

// whose is owner, group and mode of a file.
func whose(t *testing.T, path string) (o owner, mode os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return ownerOf(info), info.Mode().Perm()
}

func asRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files to others")
	}
}

func TestAReplacedFileKeepsOwnerAndMode(t *testing.T) {
	asRoot(t)
	dir := withCertificate(t)
	users := filepath.Join(dir, "users")
	if status, out := user(t, "one\n", "alice", "--file", users); status != 0 {
		t.Fatal(out)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(users, link); err != nil {
		t.Fatal(err)
	}
	files := map[string]os.FileMode{users: 0o640, filepath.Join(dir, "cert.pem"): 0o664, filepath.Join(dir, "key.pem"): 0o440}
	for path, mode := range files {
		if err := os.Chown(path, 3, 12); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	if status, out := user(t, "two\n", "bob", "--file", link); status != 0 {
		t.Error(out)
	}
	if status, _, stderr := command(t, "cert", "--dir", dir); status != 0 {
		t.Error(stderr)
	}
	for path, mode := range files {
		if o, m := whose(t, path); o != (owner{3, 12}) || m != mode {
			t.Errorf("%s: %v %o", path, o, m)
		}
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is no more: %v", err)
	}
}

// TestWhatRootMakesIsForTheGuard: its folder says who that is.
func TestWhatRootMakesIsForTheGuard(t *testing.T) {
	asRoot(t)
	dir := t.TempDir()
	if err := os.Chown(dir, 0, 12); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if status, out := user(t, "one\n", "alice", "--file", filepath.Join(dir, "users")); status != 0 {
		t.Fatal(out)
	}
	if status, _, stderr := command(t, "cert", "--dir", dir); status != 0 {
		t.Fatal(stderr)
	}
	for name, mode := range map[string]os.FileMode{"users": 0o640, "users.lock": 0o600, "key.pem": 0o640, "cert.pem": 0o644, "ca-key.pem": 0o600} {
		if o, m := whose(t, filepath.Join(dir, name)); name != "users.lock" && o != (owner{0, 12}) || m != mode {
			t.Errorf("%s: %v %o", name, o, m)
		}
	}
}
