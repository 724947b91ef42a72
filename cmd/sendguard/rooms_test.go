package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// tree is where the program's packages lie.
const tree = "../.."

// rooms are the packages in which a reader looks for something, with those of ours that
// each may know: none that is beside it or before it.
var rooms = map[string][]string{
	"policy":                {"policy/mail", "policy/body"},
	"policy/body":           {"policy/mail", "policy/body/container"},
	"policy/body/container": nil,
	"policy/mail":           nil,

	"proxy":            {"policy", "proxy/wire", "proxy/upstream", "proxy/users", "proxy/unfinished", "proxy/oauth2"},
	"proxy/wire":       nil,
	"proxy/upstream":   {"proxy/oauth2"},
	"proxy/users":      nil,
	"proxy/unfinished": nil,
	"proxy/oauth2":     nil,
}

// TestEveryRoomNamesItsFiles: doc.go is where a reader looks for what lies where, and a
// file that it does not name is not found. Nor does it name one that is gone.
func TestEveryRoomNamesItsFiles(t *testing.T) {
	for room := range rooms {
		named := filesNamedIn(t, filepath.Join(tree, room))
		files, err := filepath.Glob(filepath.Join(tree, room, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			file := filepath.Base(path)
			if isRoomFile(file) && !slices.Contains(named, file) {
				t.Errorf("%s/doc.go does not name %s", room, file)
			}
		}
		for _, file := range named {
			if !slices.Contains(files, filepath.Join(tree, room, file)) {
				t.Errorf("%s/doc.go names %s, which is not there", room, file)
			}
		}
	}
	below, err := filepath.Glob("*/*.go")
	if err != nil || len(below) == 0 {
		t.Fatal(below, err)
	}
	for _, path := range below {
		if dir, file := filepath.Split(path); isRoomFile(file) && !slices.Contains(filesNamedIn(t, dir), file) {
			t.Errorf("%sdoc.go does not name %s", dir, file)
		}
	}
}

var (
	commentLine = regexp.MustCompile(`(?m)^//.*`)
	fileName    = regexp.MustCompile(`\b\w+\.go\b`)
)

// filesNamedIn are those that the comments of a folder's doc.go name.
func filesNamedIn(t *testing.T, dir string) []string {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join(dir, "doc.go"))
	if err != nil {
		t.Fatal(err)
	}
	return fileName.FindAllString(strings.Join(commentLine.FindAllString(string(doc), -1), "\n"), -1)
}

func isRoomFile(name string) bool { return name != "doc.go" && !strings.HasSuffix(name, "_test.go") }

// TestTheRoomsLookOneWay: what decides has no network, no clock and no log; what
// reads mail knows nothing of what decides; and only the session knows the library,
// the policy and the metrics.
func TestTheRoomsLookOneWay(t *testing.T) {
	for room, own := range rooms {
		for _, path := range importsOf(t, room) {
			if ours, is := strings.CutPrefix(path, "sendguard/"); is {
				if !slices.Contains(own, ours) {
					t.Errorf("%s imports %s", room, path)
				}
				continue
			}
			pure := room == "policy" || strings.HasPrefix(room, "policy/")
			if pure && !isPure(path) || room != "proxy" && isOfTheSession(path) {
				t.Errorf("%s imports %s", room, path)
			}
		}
	}
}

func importsOf(t *testing.T, room string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", `{{join .Imports "\n"}}`, "sendguard/"+room).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}

// isPure reports what may be known without doing anything.
func isPure(path string) bool {
	switch {
	case strings.HasPrefix(path, "golang.org/x/net/html"), path == "golang.org/x/net/idna", path == "golang.org/x/net/publicsuffix", strings.HasPrefix(path, "golang.org/x/text/"):
		return true
	}
	return !strings.Contains(path, ".") && !slices.Contains([]string{"net", "net/http", "time", "os", "log", "log/slog", "context", "sync"}, path)
}

func isOfTheSession(path string) bool {
	return strings.HasPrefix(path, "github.com/emersion/go-smtp") || strings.HasPrefix(path, "github.com/prometheus/")
}
