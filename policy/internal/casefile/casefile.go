// Package casefile reads the cases in testdata, for tests.
//
// A case is a file: lines that begin with # say why it exists, then come settings,
// and after an empty line the message as it is sent, LF for CRLF. \xNN stands for
// that byte, \r for a bare CR and \n for a bare LF, and \* for a repetition: the
// line "\*1000 p%d@x.org," is repeated with numbers. What the policy says stands in
// "want:" and, where another message goes on, after "---".
package casefile

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// A Case is a file, as it is written.
type Case struct {
	Path     string
	Comment  string
	Keys     string // the lines of the settings, without want
	Settings []Setting
	Want     string
	Message  string
	Sent     string // what goes on, where it Rewrites
	Rewrites bool
}

// A Setting is a line "key: value".
type Setting struct{ Key, Value string }

// Paths returns the files of the cases below a folder of testdata, or of all.
func Paths(t testing.TB, testdata, folder string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(testdata, folder, "*.txt"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no cases in %s/%s: %v", testdata, folder, err)
	}
	return paths
}

// Read reads a case.
func Read(t testing.TB, path string) *Case {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c := &Case{Path: path}
	top, message, ok := strings.Cut(string(text), "\n\n")
	if !ok {
		t.Fatalf("%s: no empty line before the message", path)
	}
	for line := range strings.Lines(top + "\n") {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		switch {
		case strings.HasPrefix(line, "#"):
			c.Comment += line
		case key == "want":
			c.Want = strings.TrimSpace(value)
		default:
			c.Keys += line
			c.Settings = append(c.Settings, Setting{key, strings.TrimSpace(value)})
		}
	}
	if c.Comment == "" {
		t.Errorf("%s does not say why it exists", path)
	}
	c.Message, c.Sent, c.Rewrites = strings.Cut("\n"+message, "\n---\n")
	c.Message = strings.TrimPrefix(c.Message, "\n")
	if c.Rewrites {
		c.Message += "\n"
	}
	return c
}

// Write puts what the policy says into the file: want, and where rewrites says
// so, what goes on.
func (c *Case) Write(t testing.TB, want string, rewrites bool, sent []byte) {
	t.Helper()
	text := c.Comment + c.Keys + "want: " + want + "\n\n" + c.Message
	if rewrites {
		text += "---\n" + written(sent)
	}
	if err := os.WriteFile(c.Path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Wire turns a message as written into the bytes that are sent.
func Wire(t testing.TB, written string) []byte {
	t.Helper()
	var b bytes.Buffer
	for line := range strings.Lines(written) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, `\*`); ok {
			count, pattern, _ := strings.Cut(rest, " ")
			n, err := strconv.Atoi(count)
			if err != nil {
				t.Fatal(err)
			}
			for i := range n {
				b.WriteString(strings.ReplaceAll(pattern, "%d", strconv.Itoa(i)))
			}
			continue
		}
		b.Write(unquote(t, line))
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

func unquote(t testing.TB, line string) (out []byte) {
	t.Helper()
	for i := 0; i < len(line); i++ {
		switch {
		case strings.HasPrefix(line[i:], `\x`) && i+4 <= len(line):
			n, err := strconv.ParseUint(line[i+2:i+4], 16, 8)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, byte(n))
			i += 3
		case strings.HasPrefix(line[i:], `\r`):
			out = append(out, '\r')
			i++
		case strings.HasPrefix(line[i:], `\n`):
			out = append(out, '\n')
			i++
		default:
			out = append(out, line[i])
		}
	}
	return out
}

// written is the reverse of Wire, as far as a case needs it.
func written(message []byte) string {
	var b strings.Builder
	for rest := bytes.ReplaceAll(message, []byte("\r\n"), []byte("\n")); len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		if r == utf8.RuneError && size == 1 || r == 0 {
			fmt.Fprintf(&b, `\x%02x`, rest[0])
		} else {
			b.Write(rest[:size])
		}
		rest = rest[size:]
	}
	return b.String()
}
