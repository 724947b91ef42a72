package proxy

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
	for _, room := range []string{".", "wire", "upstream", "users", "unfinished", "oauth2"} {
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

// TestTheRoomsLookOneWay: a room knows none that is beside it or before it, and only
// the session knows the library, the policy and the metrics.
func TestTheRoomsLookOneWay(t *testing.T) {
	for room, own := range map[string][]string{
		".":            {"sendguard/policy", "sendguard/proxy/wire", "sendguard/proxy/upstream", "sendguard/proxy/users", "sendguard/proxy/unfinished", "sendguard/proxy/oauth2"},
		"./wire":       nil,
		"./upstream":   {"sendguard/proxy/oauth2"},
		"./users":      nil,
		"./unfinished": nil,
		"./oauth2":     nil,
	} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-f", `{{join .Imports "\n"}}`, room).Output()
		if err != nil {
			t.Fatal(err)
		}
		for path := range strings.FieldsSeq(string(out)) {
			switch {
			case strings.HasPrefix(path, "sendguard/") && !slices.Contains(own, path),
				room != "." && (strings.HasPrefix(path, "github.com/emersion/go-smtp") || strings.HasPrefix(path, "github.com/prometheus/")):
				t.Errorf("%s imports %s", room, path)
			}
		}
	}
}
