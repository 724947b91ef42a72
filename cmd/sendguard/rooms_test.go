package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEveryRoomNamesItsFiles: a folder's doc.go is where a reader looks for what
// lies where, and a file that it does not name is not found.
func TestEveryRoomNamesItsFiles(t *testing.T) {
	files, err := filepath.Glob("*/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		dir, file := filepath.Split(path)
		if file == "doc.go" || strings.HasSuffix(file, "_test.go") {
			continue
		}
		doc, err := os.ReadFile(filepath.Join(dir, "doc.go"))
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`(?m)^//.*\b` + regexp.QuoteMeta(file) + `\b`).Match(doc) {
			t.Errorf("%sdoc.go does not name %s", dir, file)
		}
	}
}
