package users

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

func TestHashesThatAreNotTaken(t *testing.T) {
	key := base64.RawStdEncoding.EncodeToString(bytes.Repeat([]byte("k"), 33))
	argon := func(parameters string) string { return "$argon2id$v=19$" + parameters + "$c2FsdHNhbHQ$" + key }
	if _, err := parseHash(argon("m=64,t=1,p=1")); err != nil {
		t.Fatal(err)
	}
	for _, h := range []string{
		"", "secret", "$1$abc$def", "{PLAIN}x", argon("m=1073741824,t=1,p=1"), argon("m=64,t=4000000000,p=1"), argon("m=64,t=1,p=200"), argon("m=64,t=1,p=300"),
		argon("m=64,t=0,p=1"), argon("m=64,t=1,p=0"), argon("m=4,t=1,p=1"), argon("m=64,t=1,p=1,keyid=x"), argon("t=1,m=64,p=1"), argon("m=-1,t=1,p=1"),
		strings.Replace(argon("m=64,t=1,p=1"), "v=19", "v=16", 1), strings.Replace(argon("m=64,t=1,p=1"), "argon2id", "argon2i", 1),
		"$argon2id$v=19$m=64,t=1,p=1$c2FsdA$" + key, "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$a2V5", "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$" + strings.Repeat(key, 4),
		"$2y$31$" + strings.Repeat("a", 53), "$2y$10$short", "$2y$xx$" + strings.Repeat("a", 53),
	} {
		if got, err := parseHash(h); err == nil {
			t.Errorf("%s was taken: %+v", h, got)
		}
	}
	for _, tc := range []struct{ text, want string }{
		{"alice", ":1: the hash is neither"}, {"a b:" + argon("m=64,t=1,p=1"), ":1: a name cannot have"}, {":" + argon("m=64,t=1,p=1"), ":1: a line is name:hash"},
		{"#\na:" + argon("m=64,t=1,p=1") + "\na:" + argon("m=64,t=1,p=1"), ":3: the name is there twice"},
	} {
		if err := CheckFile(usersFile(t, tc.text)); err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "a2tr") {
			t.Errorf("%q: %v", tc.text, err)
		}
	}
}

func TestANewHashIsItsOwnPasswords(t *testing.T) {
	hashes := []string{newHash("sesame"), newHash("sesame")}
	if hashes[0] == hashes[1] {
		t.Error("two hashes have the same salt")
	}
	for _, text := range hashes {
		h, err := parseHash(text)
		if err != nil || !h.matches("sesame") || h.matches("Sesame") || h.matches("") {
			t.Errorf("%s: %v", text, err)
		}
	}
	long, err := bcrypt.GenerateFromPassword([]byte(strings.Repeat("x", bcryptLimit)), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	h, err := parseHash(string(long))
	if err != nil || !h.matches(strings.Repeat("x", bcryptLimit)) || h.matches(strings.Repeat("x", bcryptLimit+1)) {
		t.Errorf("a password that goes on behind what bcrypt looks at: %v", err)
	}
}

func TestAnUnknownUserTakesAsLongAsAKnownOne(t *testing.T) {
	u := &Users{path: usersFile(t, "alice:"+newHash("sesame"))}
	mine, known, _ := u.lookup("alice")
	other, stranger, _ := u.lookup("carol")
	if !known || stranger || other == nil || other.bytes() != mine.bytes() || other.time != mine.time {
		t.Errorf("%+v %v, %+v %v", mine, known, other, stranger)
	}
}

// usersFile writes a users file of such lines.
func usersFile(t *testing.T, lines ...string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
