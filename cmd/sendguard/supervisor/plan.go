package supervisor

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

// Name is that of the service, and of the account that it has.
const Name = "sendguard"

// A Service is what is to be started.
type Service struct {
	Program string // absolute path
	Config  string // absolute path
	System  bool   // with the machine, not with the login of a person
	// Readable are files that the account of a service of the system is to be given
	// the right to read. Who writes them knows them; others give it by hand.
	Readable []string
}

// A Manager makes plans for one system.
type Manager interface {
	// Install has the service started now and from now on.
	Install(Service) (Plan, error)
	Uninstall(system bool) (Plan, error)
	Start(system bool) (Plan, error)
	Stop(system bool) (Plan, error)
	Restart(system bool) (Plan, error)
	// Status asks how the service does.
	Status(system bool) (Plan, error)
}

// A Plan is what is done, one step after the other; the first that fails ends it.
type Plan struct {
	Steps []Step
	Notes []string // what a person should know
}

// A Step is a File, a Removal or a Command.
type Step interface {
	// do carries it out and tells so.
	do(ctx context.Context, out io.Writer) error
}

// A File is written whole or not at all.
type File struct {
	Path, Text string
}

// A Removal is the path of a file that may be missing.
type Removal string

// A Command is a program and its arguments.
type Command struct {
	Args    []string
	MayFail bool   // what it undoes need not be there
	Quiet   bool   // what it prints is of interest only where it fails
	Hint    string // what a person can do where it fails
}

func command(args ...string) Command { return Command{Args: args} }

func attempt(args ...string) Command { return Command{Args: args, MayFail: true} }

// Do carries the plan out and tells each step.
func (p Plan) Do(ctx context.Context, out io.Writer) error {
	for _, s := range p.Steps {
		if err := s.do(ctx, out); err != nil {
			return err
		}
	}
	for _, note := range p.Notes {
		fmt.Fprintln(out, note)
	}
	return nil
}

// Print shows the files that Do would write, or where it writes none the
// commands. A single file stands alone, so that it can be kept.
func (p Plan) Print(out io.Writer) {
	var files []File
	for _, s := range p.Steps {
		if f, ok := s.(File); ok {
			files = append(files, f)
		}
	}
	switch len(files) {
	case 0:
		for _, s := range p.Steps {
			fmt.Fprintln(out, s)
		}
	case 1:
		fmt.Fprint(out, files[0].Text)
	default:
		for _, f := range files {
			fmt.Fprintf(out, "# %s\n%s\n", f.Path, f.Text)
		}
	}
}

// do makes the folder where there is none. The file is for everybody to read: it
// holds no secret, and a person may look at what was installed.
func (f File) do(_ context.Context, out io.Writer) error {
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o755); err != nil {
		return err
	}
	part := f.Path + ".new"
	err := os.WriteFile(part, []byte(f.Text), 0o644)
	if err == nil {
		err = os.Rename(part, f.Path)
	}
	if err != nil {
		os.Remove(part)
		return err
	}
	fmt.Fprintf(out, "wrote    %s\n", f.Path)
	return nil
}

func (r Removal) do(_ context.Context, out io.Writer) error {
	switch err := os.Remove(string(r)); {
	case err == nil:
		fmt.Fprintf(out, "removed  %s\n", string(r))
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return nil
}

// String is the command for it.
func (r Removal) String() string { return command("rm", "-f", string(r)).String() }

// commandTime bounds one command; a guard that is stopped finishes its messages.
const commandTime = 2 * time.Minute

func (c Command) do(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	text, err := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...).CombinedOutput()
	switch {
	case c.MayFail && err != nil:
		return nil
	case err != nil:
		return fmt.Errorf("%s%s: %w%s", text, c, err, c.Hint)
	case c.Quiet:
		text = nil
	}
	fmt.Fprintf(out, "ran      %s\n%s", c, text)
	return nil
}

// String is the command as a person would type it.
func (c Command) String() string {
	words := make([]string, len(c.Args))
	for i, a := range c.Args {
		words[i] = a
		if a == "" || strings.ContainsAny(a, " \t\"'\\$&;()<>|*?") {
			words[i] = `'` + strings.ReplaceAll(a, `'`, `'\''`) + `'`
		}
	}
	return strings.Join(words, " ")
}

//go:embed *.tmpl
var templates embed.FS

// render fills in the template of a file; quote is how its language writes a
// string.
func render(name string, quote func(string) string, data any) (string, error) {
	t, err := template.New(name).Funcs(template.FuncMap{"quote": quote}).ParseFS(templates, name)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	err = t.Execute(&text, data)
	return text.String(), err
}
