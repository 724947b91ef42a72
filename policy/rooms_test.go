package policy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestEveryRoomNamesItsFiles: doc.go is where a reader looks for what lies where,
// and a file that it does not name is not found. Nor does it name one that is gone.
func TestEveryRoomNamesItsFiles(t *testing.T) {
	for _, room := range []string{".", "mail", "body", "body/container"} {
		doc, err := os.ReadFile(filepath.Join(room, "doc.go"))
		if err != nil {
			t.Fatal(err)
		}
		named := regexp.MustCompile(`\b\w+\.go\b`).FindAllString(string(doc), -1)
		files, err := filepath.Glob(filepath.Join(room, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			file := filepath.Base(path)
			if file != "doc.go" && !strings.HasSuffix(file, "_test.go") && !slices.Contains(named, file) {
				t.Errorf("%s/doc.go does not name %s", room, file)
			}
		}
		for _, file := range named {
			if !slices.Contains(files, filepath.Join(room, file)) {
				t.Errorf("%s/doc.go names %s, which is not there", room, file)
			}
		}
	}
}

// TestTheRoomsArePureAndLookOneWay: what decides has no network, no clock and no
// log, and what reads mail knows nothing of what decides.
func TestTheRoomsArePureAndLookOneWay(t *testing.T) {
	for room, own := range map[string][]string{
		".":                {"sendguard/policy/mail", "sendguard/policy/body"},
		"./body":           {"sendguard/policy/mail", "sendguard/policy/body/container"},
		"./body/container": nil,
		"./mail":           nil,
	} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-f", `{{join .Imports "\n"}}`, room).Output()
		if err != nil {
			t.Fatal(err)
		}
		for path := range strings.FieldsSeq(string(out)) {
			switch {
			case strings.HasPrefix(path, "sendguard/"):
				if !slices.Contains(own, path) {
					t.Errorf("%s imports %s", room, path)
				}
			case strings.HasPrefix(path, "golang.org/x/net/html"), path == "golang.org/x/net/idna", path == "golang.org/x/net/publicsuffix", strings.HasPrefix(path, "golang.org/x/text/"):
			case strings.Contains(path, ".") || slices.Contains([]string{"net", "net/http", "time", "os", "log", "log/slog", "context", "sync"}, path):
				t.Errorf("%s imports %s", room, path)
			}
		}
	}
}
