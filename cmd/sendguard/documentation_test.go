package main

import (
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/spf13/cobra"
)

// documentation returns the text of every page of the project by its path, which
// begins with ../..
func documentation(t *testing.T) map[string]string {
	t.Helper()
	pages := map[string]string{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "dist" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		pages[path] = string(text)
		return err
	})
	if err != nil || len(pages) == 0 {
		t.Fatal(len(pages), err)
	}
	return pages
}

var (
	fenced  = regexp.MustCompile("(?ms)^```.*?^```$")
	link    = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.*)$`)
)

// TestEveryLinkBetweenPagesLeadsSomewhere: to a file or folder that is there, and to a
// heading that the page has.
func TestEveryLinkBetweenPagesLeadsSomewhere(t *testing.T) {
	pages := documentation(t)
	links := 0
	for path, text := range pages {
		for _, m := range link.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
			to, err := url.Parse(m[1])
			if err != nil {
				t.Errorf("%s: %s: %v", path, m[1], err)
				continue
			}
			if to.IsAbs() {
				continue
			}
			links++
			target := path
			if to.Path != "" {
				target = filepath.Join(filepath.Dir(path), filepath.FromSlash(to.Path))
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %s leads nowhere", path, m[1])
				continue
			}
			if to.Fragment != "" && !anchors(pages[target])[to.Fragment] {
				t.Errorf("%s: %s: that page has no such heading", path, m[1])
			}
		}
	}
	if links == 0 {
		t.Error("no link was found")
	}
}

// anchors are what the headings of a page are linked by: in lower case, blanks as
// hyphens, without punctuation.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		all[strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, m[1])] = true
	}
	return all
}

// TestEveryPageIsInTheIndex: who begins at deploy/docs finds each page there, and
// each folder that has one.
func TestEveryPageIsInTheIndex(t *testing.T) {
	index := "../../deploy/docs/README.md"
	pages := documentation(t)
	linked := map[string]bool{filepath.Clean(index): true}
	for _, m := range link.FindAllStringSubmatch(pages[index], -1) {
		linked[filepath.Join(filepath.Dir(index), m[1])] = true
	}
	for path := range pages {
		in, _ := filepath.Match("../../deploy/docs/*.md", path)
		of, _ := filepath.Match("../../deploy/*/README.md", path)
		if (in || of) && !linked[path] {
			t.Errorf("%s does not list %s", index, path)
		}
	}
}

// commandLine is sendguard where a shell would run it: the command, and the rest of
// the line.
var commandLine = regexp.MustCompile("(?m)(?:^ *|`|\\./|sudo |&& |\\| )sendguard ([a-z]+)([^`\n]*)")

// TestEveryCommandInThePagesIsOne looks at code, in lines and in blocks: the command is
// there, and has the flags.
func TestEveryCommandInThePagesIsOne(t *testing.T) {
	code := regexp.MustCompile("(?ms)^```(?:sh|)\n.*?^```$|^    .*?$|`[^`\n]+`")
	seen := 0
	for path, text := range documentation(t) {
		for _, piece := range code.FindAllString(text, -1) {
			for _, m := range commandLine.FindAllStringSubmatch(piece, -1) {
				seen++
				if wrong := strangers(m[1], m[2]); wrong != "" {
					t.Errorf("%s: sendguard %s%s: %s", path, m[1], m[2], wrong)
				}
			}
		}
	}
	if seen == 0 {
		t.Error("no command was found")
	}
}

// strangers says what of a command line sendguard does not know.
func strangers(name, rest string) string {
	args := []string{name}
	rest, _, _ = strings.Cut(rest, "#")
	rest, _, _ = strings.Cut(rest, "&&")
	words := strings.Fields(rest)
	cmd, _, err := rootCommand().Find(append(args, words...))
	if err != nil || cmd.Parent() == nil {
		return "there is no such command"
	}
	for _, word := range words {
		flag, long := strings.CutPrefix(word, "--")
		flag, _, _ = strings.Cut(flag, "=")
		if long && flag != "" && !known(cmd, flag) {
			return "it has no --" + flag
		}
	}
	return ""
}

func known(cmd *cobra.Command, flag string) bool {
	return flag == "help" || cmd.Flags().Lookup(flag) != nil || cmd.InheritedFlags().Lookup(flag) != nil
}
