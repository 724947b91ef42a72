package config

import (
	"os"
	"path/filepath"
	"testing"
)

// TestWhatIsWrittenAtThePlaceIsWhatIsFound, whoever writes it and whatever is there.
func TestWhatIsWrittenAtThePlaceIsWhatIsFound(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	t.Setenv("AppData", filepath.Join(dir, "config"))
	t.Setenv("SENDGUARD_CONFIG", "")
	own, err := personalPath()
	if err != nil {
		t.Fatal(err)
	}
	want := own
	if os.Geteuid() == 0 {
		want = systemPath
	}
	if got, err := Place(""); got != want || err != nil {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	if err := os.MkdirAll(filepath.Dir(own), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(own, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, named := range []string{"", filepath.Join(dir, "other.yaml")} {
		got, err := Place(named)
		if found, _ := Find(named); got != found || err != nil {
			t.Errorf("%q, %v; %q is found", got, err, found)
		}
	}
	t.Setenv("SENDGUARD_CONFIG", filepath.Join(dir, "mine.yaml"))
	if got, err := Place(""); got != filepath.Join(dir, "mine.yaml") || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
