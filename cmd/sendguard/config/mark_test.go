package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"testing"
	"time"
)

// allFiles is a route with every file that a configuration can name, relative to its
// folder; so much at once is no configuration to run with.
const allFiles = `routes:
  - tls: {cert: cert, key: key}
    users_file: users_file
    upstream:
      ca_file: ca_file
      password_file: password_file
      oauth2: {client_secret_file: client_secret_file, certificate: certificate, key: key_of_oauth2}
`

// namesFile are the keys whose value is the path of a file that is read.
var namesFile = regexp.MustCompile(`^(.*_file|cert|certificate|key)$`)

// fileKeys counts them.
func fileKeys(typ reflect.Type) (n int) {
	for i := range typ.NumField() {
		f := typ.Field(i)
		switch {
		case f.Type.Kind() == reflect.Struct:
			n += fileKeys(f.Type)
		case f.Type.Kind() == reflect.String && namesFile.MatchString(f.Tag.Get("yaml")):
			n++
		}
	}
	return n
}

func TestAMarkIsOfTheTextAndOfEveryFileThatItNames(t *testing.T) {
	path := writeConfig(t, allFiles)
	t.Setenv("SENDGUARD_CONFIG", path)
	var names []string
	for _, m := range regexp.MustCompile(`(?:file|cert|certificate|key): ([a-z_0-9]+)`).FindAllStringSubmatch(allFiles, -1) {
		names = append(names, filepath.Join(filepath.Dir(path), m[1]))
	}
	if want := fileKeys(reflect.TypeFor[routeConfig]()); len(names) != want {
		t.Fatalf("%d files are named here, and there are %d keys for one", len(names), want)
	}
	before := MarkOf("")
	differs := func(what string) {
		t.Helper()
		after := MarkOf(path)
		if after == before {
			t.Errorf("%s: it is the same mark", what)
		}
		if again := MarkOf(path); again != after {
			t.Errorf("%s: unchanged it is another mark", what)
		}
		before = after
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i, name := range names {
		write(name, fmt.Sprint(i))
		differs(name + " is there")
		write(name, "x")
		differs(name + " is of the same size")
		if err := os.Chtimes(name, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		if MarkOf(path) != before {
			t.Errorf("%s has another time, and that makes another mark", name)
		}
	}
	write(names[0], "xx")
	write(names[1], "")
	differs("a byte stands in another file")
	write(path, allFiles+"polcy: {}\n")
	differs("the text has a mistake")
	write(names[2], "y")
	differs("a file of a text with a mistake")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	differs("the text is gone")
}

func TestAMarkDoesNotReadWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	none := MarkOf(filepath.Join(dir, "none"))
	if MarkOf(dir) != none {
		t.Error("a folder has a text")
	}
}
