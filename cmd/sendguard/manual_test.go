package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestThereIsAManPageForEachCommand(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	if status, _, stderr := command(t, "manual", dir); status != 0 {
		t.Fatal(stderr)
	}
	for _, c := range rootCommand().Commands() {
		page, err := os.ReadFile(filepath.Join(dir, "sendguard-"+c.Name()+".1"))
		if err != nil || !strings.Contains(string(page), ".SH SYNOPSIS") || !strings.Contains(string(page), `"sendguard devel"`) {
			t.Errorf("%s: %v %.200s", c.Name(), err, page)
		}
	}
}
