package archive

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// guard is the guard's default.
var guard = Options{HeaderBytes: 1 << 20, LineBytes: 1 << 17}

var update = flag.Bool("update", false, "write what is read into the files of testdata")

// TestArchivesAreReadAsProgramsWriteThem: each file of testdata says why it is
// there, has the files of a program, and what is read from them: the subject of
// each message and the length of its body.
//
// A line "-- NAME --" begins a file; behind the name may stand how its lines end
// (crlf, cr), or that it is a string of Go (quoted). "-- want --" ends them.
func TestArchivesAreReadAsProgramsWriteThem(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			given, want, _ := strings.Cut(string(text), "-- want --\n")
			if !strings.HasPrefix(given, "# ") {
				t.Error("no reason is given")
			}
			got := readAll(t, layOut(t, given))
			if *update {
				if err := os.WriteFile(path, []byte(given+"-- want --\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

var fileLine = regexp.MustCompile(`(?m)^-- (.+?)(?: (crlf|cr|quoted))? --\n`)

// layOut writes the files of a case into a folder.
func layOut(t *testing.T, given string) string {
	t.Helper()
	dir := t.TempDir()
	marks := fileLine.FindAllStringSubmatchIndex(given, -1)
	for i, m := range marks {
		end := len(given)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		form := ""
		if m[4] >= 0 {
			form = given[m[4]:m[5]]
		}
		path := filepath.Join(dir, given[m[2]:m[3]])
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(inForm(t, given[m[1]:end], form)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func inForm(t *testing.T, text, form string) string {
	t.Helper()
	switch form {
	case "crlf":
		return strings.ReplaceAll(text, "\n", "\r\n")
	case "cr":
		return strings.ReplaceAll(text, "\n", "\r")
	case "quoted":
		text, err := strconv.Unquote(strings.TrimSpace(text))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	return text
}

func readAll(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	for _, s := range List([]string{dir}, func(err error) { t.Error(err) }) {
		name, err := filepath.Rel(dir, s.Path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(s.Path)
		if err != nil {
			t.Fatal(err)
		}
		describe(t, &out, filepath.ToSlash(name), f)
		f.Close()
	}
	return out.String()
}

func describe(t *testing.T, out io.Writer, name string, f io.Reader) {
	t.Helper()
	r, err := NewReader(f, guard)
	if errors.Is(err, ErrNoMail) {
		fmt.Fprintf(out, "%s: %v\n", name, err)
		return
	}
	for n := 1; err == nil; n++ {
		var header []byte
		if header, err = r.Next(); err != nil {
			break
		}
		if r.Mbox {
			fmt.Fprintf(out, "%s#%d", name, n)
		} else {
			fmt.Fprint(out, name)
		}
		fmt.Fprintf(out, " %q %d\n", Field(header, "Subject"), bodyLength(t, r))
	}
	if err != io.EOF {
		t.Errorf("%s: %v", name, err)
	}
}

func bodyLength(t *testing.T, r *Reader) (length int) {
	t.Helper()
	for {
		text, err := r.Piece()
		length += len(text)
		if err == io.EOF {
			return length
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
