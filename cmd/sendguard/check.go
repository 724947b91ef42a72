package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sendguard/cmd/sendguard/archive"
	"sendguard/cmd/sendguard/config"
	"sendguard/policy"
)

func checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check [FILE...]",
		Short: "Say what would happen to messages that are in files",
		Long: `Reads messages and says what the guard would do with each. A FILE is a
message (.eml, .emlx), an mbox, a Maildir, a folder of any of these, or - for
standard input, which is also read where no FILE is named. No message is changed
or sent, and no addresses or subjects are shown.

Files in folders that are no mail (indexes, settings, compressed ones) are named
on standard error and left out; the summary counts them. One that you name
yourself could not be read.

Without a configuration the default policy decides. To choose a limit, run it
over the mail that you sent:   sendguard check --summary Maildir/.Sent

The exit status is 0 where all messages would pass, 1 where some would not, and
2 where something could not be read.`,
	}
	format := cmd.Flags().String("format", "table", `"table", or "json" for one object a line`)
	summary := cmd.Flags().Bool("summary", false, "count instead of listing each message: for whole archives")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			if isTerminal(cmd.InOrStdin()) {
				return errors.New("no FILE: name messages, mailboxes or folders, or - for standard input")
			}
			args = []string{"-"}
		}
		c, err := configOrDefaults(cmd.Flag("config").Value.String())
		if err != nil {
			return err
		}
		out := bufio.NewWriter(cmd.OutOrStdout())
		r, err := newReport(out, *format, *summary, c)
		if err != nil {
			return err
		}
		return check(cmd, c, r, out, args)
	}
	return cmd
}

// configOrDefaults is config.Load where there is a configuration.
func configOrDefaults(named string) (*config.Config, error) {
	if _, err := config.Find(named); err != nil {
		c := config.Default()
		return &c, nil
	}
	return config.Load(named)
}

// A report takes what was decided, and prints it.
type report interface {
	add(checked)
	finish(noMail int)
}

// A checked message has its verdict.
type checked struct {
	file    string
	verdict policy.Verdict
	header  []byte
}

func newReport(out io.Writer, format string, summary bool, c *config.Config) (report, error) {
	switch {
	case format == "table" && summary:
		return newSummary(out, c), nil
	case format == "table":
		return newTable(out), nil
	case format == "json" && !summary:
		return newJSONLines(out), nil
	case format == "json":
		return nil, errors.New("--summary is text: it does not go with --format json")
	}
	return nil, fmt.Errorf("--format %q is none of table, json", format)
}

// A checker reads messages and has the policy decide on each.
type checker struct {
	policy  *policy.Policy
	options archive.Options
	report  report
	stdin   io.Reader
	stderr  io.Writer
	bar     bar

	messages, refused, unreadable, noMail int
}

// check reports on all messages of what was named.
func check(cmd *cobra.Command, c *config.Config, r report, out *bufio.Writer, named []string) error {
	p, err := policy.New(c.PolicySettings())
	if err != nil {
		return err
	}
	o := archive.Options{HeaderBytes: c.Server.MaxHeaderBytes, LineBytes: c.Server.MaxLineBytes, MendCR: p.BareNewline == policy.NormalizeBare}
	ch := &checker{policy: p, options: o, report: r, stdin: cmd.InOrStdin(), stderr: cmd.ErrOrStderr()}
	sources := archive.List(named, ch.failed)
	if _, quiet := r.(*summary); quiet || !isTerminal(cmd.OutOrStdout()) { // rows would run into it
		ch.bar = newBar(ch.stderr, sources)
	}
	for _, s := range sources {
		if err := ch.source(s); err != nil {
			ch.failed(err)
		}
	}
	ch.bar.finish()
	r.finish(ch.noMail)
	if err := out.Flush(); err != nil {
		return faultError{err}
	}
	return ch.result()
}

// failed says what could not be read.
func (ch *checker) failed(err error) {
	ch.unreadable++
	ch.bar.clear()
	fmt.Fprintln(ch.stderr, err)
}

// result is the error that makes the exit status.
func (ch *checker) result() error {
	stopped := fmt.Sprintf("%d of %d %s would not pass", ch.refused, ch.messages, plural(ch.messages, "message"))
	switch {
	case ch.unreadable > 0 && ch.refused > 0:
		return fmt.Errorf("%d could not be read; %s", ch.unreadable, stopped)
	case ch.unreadable > 0:
		return fmt.Errorf("%d could not be read", ch.unreadable)
	case ch.messages == 0 && ch.noMail > 0:
		return fmt.Errorf("no messages found: %s", filesWithoutMail(ch.noMail))
	case ch.messages == 0:
		return errors.New("no messages found")
	case ch.refused > 0:
		return faultError{errors.New(stopped)}
	}
	return nil
}

// leaveOut tells of a file of a folder that holds no mail. It is no error: mail
// programs keep indexes and settings beside it.
func (ch *checker) leaveOut(path string) {
	ch.noMail++
	if _, counts := ch.report.(*summary); counts {
		return
	}
	ch.bar.clear()
	fmt.Fprintf(ch.stderr, "%s: %v, left out\n", printable(path), archive.ErrNoMail)
}

// source checks the messages of one file.
func (ch *checker) source(s archive.Source) error {
	in := ch.stdin
	if s.Path != "-" {
		f, err := os.Open(s.Path)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	m, err := archive.NewReader(ch.bar.reader(in), ch.options)
	switch {
	case errors.Is(err, archive.ErrNoMail) && s.Named:
		return fmt.Errorf("%s: %w", printable(s.Path), err)
	case errors.Is(err, archive.ErrNoMail):
		ch.leaveOut(s.Path)
		return nil
	case err != nil:
		return err // the system's, with the path
	}
	for n := 1; ; n++ {
		name := s.Path
		if m.Mbox {
			name += "#" + strconv.Itoa(n)
		}
		switch err := ch.message(name, m); {
		case err == io.EOF:
			return nil
		case err != nil:
			ch.failed(fmt.Errorf("%s: %w", name, err))
		}
	}
}

// message checks the next message of a file.
func (ch *checker) message(name string, m *archive.Reader) error {
	header, err := m.Next()
	if err != nil {
		return err
	}
	v, err := decide(ch.policy, header, m)
	if err != nil {
		return err
	}
	ch.messages++
	if v.Refused() {
		ch.refused++
	}
	ch.report.add(checked{name, v, header})
	return nil
}

// printable quotes a file name that could make a mess of a terminal.
func printable(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(name)
	}
	return name
}

// A table has a row for each message.
type table struct {
	w    *tabwriter.Writer
	rows int
}

func newTable(out io.Writer) *table {
	return &table{w: tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)}
}

// tableRows is how many rows are aligned with each other: to align all, all
// would have to be held.
const tableRows = 5000

func (t *table) add(c checked) {
	if t.rows%tableRows == 0 {
		t.w.Flush()
		fmt.Fprintln(t.w, "FILE\tVERDICT\tREASON\tVISIBLE\tEXTERNAL\tSHOWN IN")
	}
	t.rows++
	v, e := c.verdict, c.verdict.Exposure
	reason := string(v.Reason)
	if v.Line > 0 {
		reason += fmt.Sprintf(", line %d", v.Line)
	}
	fmt.Fprintf(t.w, "%s\t%s\t%s\t%7d\t%8d\t%s\n", printable(c.file), v.Action, reason, e.Visible, e.External, shownIn(e))
}

func (t *table) finish(int) { t.w.Flush() }

// shownIn lists the fields that show addresses: To 40, Cc 3.
func shownIn(e policy.Exposure) string {
	var in []string
	for _, f := range e.Shown() {
		in = append(in, fmt.Sprintf("%s %d", f.Field, f.Count))
	}
	if len(in) == 0 {
		in = []string{"-"}
	}
	return strings.Join(in, ", ") + inContainers(e.Containers)
}

// inContainers says what was in archives and the like: (2 in 1 container, 1 encrypted).
func inContainers(c policy.Containers) string {
	if c.Containers == 0 && c.Encrypted == 0 {
		return ""
	}
	s := fmt.Sprintf(" (%d in %d %s", c.Addresses, c.Containers, plural(c.Containers, "container"))
	if c.Encrypted > 0 {
		s += fmt.Sprintf(", %d encrypted", c.Encrypted)
	}
	if c.Unknown > 0 {
		s += fmt.Sprintf(", %d of unknown compression", c.Unknown)
	}
	return s + ")"
}

// jsonLines has an object for each message.
type jsonLines struct{ enc *json.Encoder }

func newJSONLines(out io.Writer) jsonLines {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	return jsonLines{enc}
}

func (j jsonLines) add(c checked) {
	v, e := c.verdict, c.verdict.Exposure
	fields := map[string]int{}
	for _, f := range e.Shown() {
		fields[f.Field] = f.Count
	}
	j.enc.Encode(struct {
		File          string         `json:"file"`
		Verdict       policy.Action  `json:"verdict"`
		Rule          string         `json:"rule"`
		Reason        policy.Reason  `json:"reason"`
		Visible       int            `json:"visible"`
		External      int            `json:"external"`
		Internal      int            `json:"internal"`
		Organisations int            `json:"organisations"`
		Fields        map[string]int `json:"fields"`
		Containers    *inJSON        `json:"containers,omitempty"`
	}{c.file, v.Action, v.Rule, v.Reason, e.Visible, e.External, e.Internal, e.Organisations, fields, containersInJSON(e.Containers)})
}

// inJSON is what was in the archives and the like of a message, if there were any.
type inJSON struct {
	Count     int `json:"count"`
	Addresses int `json:"addresses"`
	Encrypted int `json:"encrypted"` // members that were not read
	Unknown   int `json:"unknown"`   // likewise, for how they are compressed
}

func containersInJSON(c policy.Containers) *inJSON {
	if c.Containers == 0 && c.Encrypted == 0 {
		return nil
	}
	return &inJSON{c.Containers, c.Addresses, c.Encrypted, c.Unknown}
}

func (jsonLines) finish(int) {}

// isTerminal reports whether a stream of the command is one.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
