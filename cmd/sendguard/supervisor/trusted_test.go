//go:build unix

package supervisor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhatOthersMayWriteIsNotTrusted: they could give the administrator's service
// another program.
func TestWhatOthersMayWriteIsNotTrusted(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make files of root")
	}
	for name, tc := range map[string]struct {
		spoil func(dir, file string) error
		want  string
	}{
		"as it should be":            {func(string, string) error { return nil }, ""},
		"written by all":             {func(_, file string) error { return os.Chmod(file, 0o646) }, "FILE can be written by others"},
		"written by a group":         {func(_, file string) error { return os.Chown(file, 0, 12) }, "FILE can be written by others"},
		"written by root's group":    {func(_, file string) error { return os.Chmod(file, 0o664) }, ""},
		"another's file":             {func(_, file string) error { return os.Chown(file, 1, 0) }, "FILE belongs to user 1"},
		"a folder written by all":    {func(dir, _ string) error { return os.Chmod(dir, 0o777) }, "DIR can be written by others"},
		"a folder with a sticky bit": {func(dir, _ string) error { return os.Chmod(dir, 0o777|os.ModeSticky) }, ""},
		"another's folder":           {func(dir, _ string) error { return os.Chown(dir, 1, 0) }, "DIR belongs to user 1"},
		"a link to another's file":   {linkToAnothers, "FILE belongs to user 1"},
		"a file that is not there":   {func(_, file string) error { return os.Remove(file) }, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "f")
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file, 0o664); err != nil {
				t.Fatal(err)
			}
			if err := tc.spoil(dir, file); err != nil {
				t.Fatal(err)
			}
			err := Trusted(file)
			got := ""
			if err != nil {
				got = strings.NewReplacer(file, "FILE", dir, "DIR").Replace(err.Error())
			}
			if (err == nil) != (tc.want == "") || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func linkToAnothers(_, file string) error {
	if err := os.Rename(file, file+".real"); err != nil {
		return err
	}
	if err := os.Chown(file+".real", 1, 0); err != nil {
		return err
	}
	return os.Symlink(file+".real", file)
}
