package oauth2

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zalando/go-keyring"
)

func TestATokenIsReadFromAFileThatNobodyElseMayTouch(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(dir string) error
		want    string // "" is the token
	}{
		"as it should be":                 {func(string) error { return nil }, ""},
		"the group may read it":           {func(dir string) error { return os.Chmod(dir+"/token", 0o640) }, "others may read or write the file of the token (chmod 600), or it is another user's"},
		"everybody may write it":          {func(dir string) error { return os.Chmod(dir+"/token", 0o602) }, "others may read or write the file of the token (chmod 600), or it is another user's"},
		"the group may write the folder":  {func(dir string) error { return os.Chmod(dir, 0o770) }, "others may write into the folder of the token (chmod go-w), or it is another user's"},
		"everybody may write the folder":  {func(dir string) error { return os.Chmod(dir, 0o1777) }, "others may write into the folder of the token (chmod go-w), or it is another user's"},
		"everybody may look around there": {func(dir string) error { return os.Chmod(dir, 0o755) }, ""},
		"there is none":                   {func(dir string) error { return os.Remove(dir + "/token") }, "no token"},
		"it is empty":                     {func(dir string) error { return os.WriteFile(dir+"/token", nil, 0o600) }, "no token"},
		"it is a folder": {func(dir string) error {
			return errors.Join(os.Remove(dir+"/token"), os.Mkdir(dir+"/token", 0o700))
		}, "others may read or write the file of the token (chmod 600), or it is another user's"},
		"the folder is gone": {os.RemoveAll, "the folder of the token: no such file or directory"},
		"it is a link to one that is open": {func(dir string) error {
			return errors.Join(os.Mkdir(dir+"/open", 0o777), os.Chmod(dir+"/open", 0o777), os.Rename(dir+"/token", dir+"/open/token"), os.Symlink(dir+"/open/token", dir+"/token"))
		}, "others may write into the folder of the token (chmod go-w), or it is another user's"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			s := &fileStore{dir + "/token"}
			if err := errors.Join(s.Save(t.Context(), "MARK"), tc.prepare(dir)); err != nil {
				t.Fatal(err)
			}
			token, err := s.Load(t.Context())
			if tc.want == "" && (token != "MARK" || err != nil) || tc.want != "" && (err == nil || err.Error() != tc.want) {
				t.Errorf("%q, %v", token, err)
			}
			if err := s.Check(); (err == nil) != (tc.want == "" || tc.want == "no token") {
				t.Errorf("and the check says %v", err)
			}
		})
	}
}

func TestATokenFileIsReplacedWholeAndItsOwnerStays(t *testing.T) {
	dir := t.TempDir()
	os.Chmod(dir, 0o700)
	if err := os.Symlink("real", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	s := &fileStore{dir + "/link"}
	if err := os.WriteFile(dir+"/real", []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const somebody = 65534
	root := os.Geteuid() == 0
	if root {
		if err := os.Chown(dir+"/real", somebody, somebody); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(dir+"/real.new", []byte("MARK of one that was killed"), 0o600); err != nil {
		t.Fatal(err)
	}
	if token, err := s.Load(t.Context()); token != "before" || err != nil {
		t.Errorf("%q, %v", token, err)
	}
	if _, err := os.Stat(dir + "/real.new"); err == nil {
		t.Error("what was left behind is still there")
	}
	if err := s.Save(t.Context(), "after"); err != nil {
		t.Fatal(err)
	}
	if token, err := s.Load(t.Context()); token != "after" || err != nil {
		t.Errorf("%q, %v", token, err)
	}
	info, err := os.Lstat(dir + "/real")
	if err != nil || info.Mode() != 0o600 || !ownedBy(info, map[bool]int{true: somebody, false: os.Geteuid()}[root]) {
		t.Errorf("it is %v, %v", info, err)
	}
	names, _ := os.ReadDir(dir)
	if len(names) != 2 { // the link and the file
		t.Errorf("beside it is %v", names)
	}
}

func TestALockHasOneOwnerAndAnEnd(t *testing.T) {
	s := &fileStore{filepath.Join(t.TempDir(), "token")}
	unlock, err := s.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := s.Lock(ctx); err == nil || err.Error() != "another sendguard has the token store locked" {
		t.Errorf("got %v", err)
	}
	unlock()
	if unlock, err = s.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	unlock()
}

func openKeyring(t *testing.T, mailbox string) Store {
	t.Helper()
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	s, err := OpenStore(Keyring, Provider{TokenURL: "https://provider.example/token"}, "guard", mailbox)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWithoutAKeyringTheErrorNamesTheFile(t *testing.T) {
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus")
	_, err := openKeyring(t, "me").Load(t.Context())
	if err == nil || !strings.Contains(err.Error(), "use store: file:PATH") {
		t.Errorf("got %v", err)
	}
}

func TestAKeyringThatDoesNotAnswerIsNoToken(t *testing.T) {
	keyring.MockInitWithError(errors.New("failed to unlock correct collection '/x'"))
	if _, err := openKeyring(t, "me").Load(t.Context()); kindOf(err) != Login || err.Error() != "the keyring is locked" {
		t.Errorf("locked: %v", err)
	}
	answer := make(chan struct{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := ask(ctx, func() (string, error) { <-answer; return "", nil })
	if kindOf(err) != Login {
		t.Errorf("silent: %v", err)
	}
	_, err = ask(ctx, func() (string, error) { t.Error("it is asked while it does not answer"); return "", nil })
	if kindOf(err) != Login {
		t.Errorf("still silent: %v", err)
	}
	close(answer)
	if secret, err := ask(t.Context(), func() (string, error) { return "back", nil }); secret != "back" || err != nil {
		t.Errorf("%q, %v", secret, err)
	}
}

// asKeyring marks a process that has a session bus, and says what is to be tried.
const asKeyring = "SENDGUARD_TEST_KEYRING"

// underBus runs a test again under a session bus, with gnome-keyring begun by a
// command.
func underBus(t *testing.T, home, command, what string) {
	t.Helper()
	for _, program := range []string{"dbus-run-session", "gnome-keyring-daemon"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "dbus-run-session", "--", "sh", "-c", command+` >/dev/null && exec "$0" -test.run="^$1$" -test.v`, os.Args[0], t.Name())
	cmd.Env = append(os.Environ(), asKeyring+"="+what, "HOME="+home, "XDG_DATA_HOME="+home, "XDG_RUNTIME_DIR="+home)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
}

const unlocked = "printf secret | gnome-keyring-daemon --unlock --components=secrets"

func TestTheKeyringOfADesktop(t *testing.T) {
	if os.Getenv(asKeyring) == "" {
		underBus(t, t.TempDir(), unlocked, "use")
		return
	}
	s := openKeyring(t, "me@mail.example")
	if _, err := s.Load(t.Context()); !errors.Is(err, errNoToken) {
		t.Errorf("at first: %v", err)
	}
	for _, token := range []string{"MARK-1", "MARK-2"} {
		unlock, err := s.Lock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		before := s.Stamp()
		if err := s.Save(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		if s.Stamp() == before {
			t.Error("nobody is told")
		}
		unlock()
		if got, err := s.Load(t.Context()); got != token || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	if _, err := openKeyring(t, "another@mail.example").Load(t.Context()); !errors.Is(err, errNoToken) {
		t.Errorf("another mailbox: %v", err)
	}
	if err := s.Forget(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Forget(t.Context()); err != nil {
		t.Errorf("once more: %v", err)
	}
	if _, err := s.Load(t.Context()); !errors.Is(err, errNoToken) {
		t.Errorf("at last: %v", err)
	}
}

// A keyring that is locked asks a person, here where nobody is. That is no token, and
// no wait for ever.
func TestAKeyringThatIsLockedIsNoToken(t *testing.T) {
	switch os.Getenv(asKeyring) {
	case "":
		home := t.TempDir()
		underBus(t, home, unlocked, "save")
		underBus(t, home, "gnome-keyring-daemon --start --components=secrets", "read")
	case "save":
		s := openKeyring(t, "me@mail.example")
		unlock, err := s.Lock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer unlock()
		if err := s.Save(t.Context(), "MARK"); err != nil {
			t.Fatal(err)
		}
	case "read":
		began := time.Now()
		if _, err := openKeyring(t, "me@mail.example").Load(t.Context()); kindOf(err) != Login {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		if took := time.Since(began); took > keyringTime+time.Second {
			t.Errorf("it took %v", took)
		}
	}
}
