package unfinished

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAFileIsTriedWithoutAChange(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sends")
	if err := Try(t.Context(), "bolt:"+path); err != nil {
		t.Errorf("a file that can be made: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("the try has left %v, %v", entries, err)
	}
	sends, err := Open(t.Context(), "bolt:"+path)
	if err != nil {
		t.Fatal(err)
	}
	opening(t, sends.store) // closes it
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := Try(t.Context(), "bolt:"+path); err != nil {
		t.Errorf("a file that is in use: %v", err)
	}
	if after, err := os.Stat(path); err != nil || after.Size() != before.Size() || after.ModTime() != before.ModTime() {
		t.Errorf("the try has changed the file: %v, %v", after, err)
	}
	for state, want := range map[string]string{
		"bolt:" + dir: "is no file",
		"bolt:" + filepath.Join(dir, "none", "sends"): "no such file or directory",
		"bolt:" + filepath.Join(path, "sends"):        "not a directory",
		"nonsense":                                    "want memory",
	} {
		if err := Try(t.Context(), state); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", state, err, want)
		}
	}
}

func TestAServerIsTriedWithoutAChange(t *testing.T) {
	server := startRedis(t)
	server.do("ACL", "SETUSER", "reader", "on", ">open sesame", "~*", "+@all", "-@write")
	server.do("ACL", "SETUSER", "elsewhere", "on", ">open sesame", "~other:*", "+@all")
	state := server.state(nil)
	if err := Try(t.Context(), state); err != nil {
		t.Error(err)
	}
	refuses := func(state, want string) {
		t.Helper()
		if err := Try(t.Context(), state); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%v, want %s", err, want)
		}
	}
	for _, user := range []string{"reader", "elsewhere"} {
		refuses(server.state(url.UserPassword(user, "open sesame")), "NOPERM")
	}
	refuses(server.state(url.UserPassword("reader", "closed")), "WRONGPASS")
	server.do("CONFIG", "SET", "maxmemory", "1")
	refuses(state, ErrFull.Error())
	server.do("CONFIG", "SET", "maxmemory", "0")
	server.do("REPLICAOF", "127.0.0.1", "1")
	refuses(state, "READONLY")
	server.do("REPLICAOF", "NO", "ONE")
	if keys := server.keys("*"); len(keys) > 0 {
		t.Errorf("the tries have left %q", keys)
	}
	server.stop()
	refuses(state, "connection refused")
	server.start()
}
