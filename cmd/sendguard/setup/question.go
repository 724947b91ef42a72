package setup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// A Question is asked on a terminal, or answered by its flag.
type Question struct {
	Flag    string
	Text    string
	Suggest string // what Enter means; "": nothing does
	Person  bool   // only a person can agree to what is suggested
	Secret  bool   // typed unseen, and never given by the flag
	Choices []Choice
	Check   func(answer string) error // of what is no choice; nil: any text will do, but none beside choices
}

// A Choice is one of the answers that a question takes.
type Choice struct{ Value, Text string }

// An Asker asks the questions of one run. Where it has no terminal, nobody answers:
// what is suggested is then only used to find further questions.
type Asker struct {
	Out      io.Writer
	Terminal *os.File // nil: there is nobody to ask
	Yes      bool     // what is suggested is taken
	Flags    map[string]string

	typed   *bufio.Reader
	asked   []string
	missing []Question
}

// ErrStopped says that a person ended the questions.
var ErrStopped = errors.New("stopped at a question")

// errUnanswered says that nothing more can be asked.
var errUnanswered = errors.New("a question has no answer")

// Ask returns the answer to a question. The error of a bad flag names it.
func (a *Asker) Ask(ctx context.Context, q Question) (string, error) {
	a.asked = append(a.asked, q.Flag)
	given, isGiven := a.Flags[q.Flag]
	switch {
	case isGiven && !q.Secret:
		answer, err := q.answer(given)
		if err != nil {
			return "", fmt.Errorf("--%s: %w", q.Flag, err)
		}
		return answer, nil
	case a.Yes && q.Suggest != "" && !q.Person:
		return q.Suggest, nil
	case a.Terminal == nil:
		a.missing = append(a.missing, q)
		if q.Suggest == "" || q.Person {
			return "", errUnanswered
		}
		return q.Suggest, nil
	}
	return a.askPerson(ctx, q)
}

// Given reports whether a flag is there.
func (a *Asker) Given(flag string) bool {
	_, is := a.Flags[flag]
	return is
}

// Use is the value of a flag that belongs to no question, "" where it is not there.
func (a *Asker) Use(flag string) string {
	a.asked = append(a.asked, flag)
	return a.Flags[flag]
}

// columns are those of the narrowest terminal that is thought of.
const columns = 79

// Say writes a text, broken between words where it is too long for a line.
func (a *Asker) Say(format string, args ...any) {
	fmt.Fprintln(a.Out, fill(fmt.Sprintf(format, args...), ""))
}

// fill breaks long lines between words, and has lines but the first begin with indent.
func fill(text, indent string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(text, "\n") {
		room := columns - len(indent)
		for utf8.RuneCountInString(line) > room {
			cut := strings.LastIndexByte(line[:room+1], ' ')
			if cut <= 0 { // a path, say: the terminal breaks it
				break
			}
			b.WriteString(line[:cut] + "\n" + indent)
			line = line[cut+1:]
		}
		b.WriteString(line + "\n" + indent)
	}
	return strings.TrimSuffix(b.String(), "\n"+indent)
}

// askPerson asks until the answer will do.
func (a *Asker) askPerson(ctx context.Context, q Question) (string, error) {
	fmt.Fprintln(a.Out)
	prompt := q.prompt()
	for {
		fmt.Fprint(a.Out, prompt)
		line, err := a.read(ctx, q.Secret)
		if err != nil {
			fmt.Fprintln(a.Out)
			return "", err
		}
		answer := strings.TrimSpace(line)
		if answer == "" {
			answer = q.Suggest
		}
		if answer, err = q.answer(answer); err == nil {
			return answer, nil
		}
		a.Say("No: %v.", err)
	}
}

// prompt is what stands before the cursor.
func (q Question) prompt() string {
	var b strings.Builder
	b.WriteString(fill(q.Text, ""))
	suggest := q.Suggest
	if len(q.Choices) > 0 {
		for i, c := range q.Choices {
			fmt.Fprintf(&b, "\n%3d  %s", i+1, fill(c.Text, "     "))
			if c.Value == q.Suggest {
				suggest = strconv.Itoa(i + 1)
			}
		}
		b.WriteString("\nNumber")
	}
	if suggest != "" {
		fmt.Fprintf(&b, " [%s]", suggest)
	}
	b.WriteString(": ")
	return b.String()
}

// answer is what was meant by what was typed, or why it will not do.
func (q Question) answer(typed string) (string, error) {
	if len(q.Choices) > 0 {
		return q.choice(typed)
	}
	switch {
	case typed == "":
		return "", errors.New("an answer is needed")
	case q.Check != nil:
		return typed, q.Check(typed)
	}
	return typed, nil
}

// choice finds the choice of a number or a value.
func (q Question) choice(typed string) (string, error) {
	if n, err := strconv.Atoi(typed); err == nil && n >= 1 && n <= len(q.Choices) {
		return q.Choices[n-1].Value, nil
	}
	var values []string
	for _, c := range q.Choices {
		if strings.EqualFold(c.Value, typed) {
			return c.Value, nil
		}
		values = append(values, c.Value)
	}
	if q.Check != nil && typed != "" {
		return typed, q.Check(typed)
	}
	return "", fmt.Errorf("%q is none of %s", typed, strings.Join(values, ", "))
}

// maxLine bounds what is read as one answer.
const maxLine = 64 << 10

// read reads a line that a person types. Nothing ends the wait for a terminal, so it
// is left behind where ctx ends; the command then ends, too.
func (a *Asker) read(ctx context.Context, unseen bool) (string, error) {
	if a.typed == nil {
		a.typed = bufio.NewReaderSize(a.Terminal, maxLine)
	}
	type typed struct {
		line string
		err  error
	}
	fd := int(a.Terminal.Fd())
	echo, _ := term.GetState(fd)
	came := make(chan typed, 1)
	go func() {
		if unseen {
			line, err := term.ReadPassword(fd)
			came <- typed{string(line), err}
			return
		}
		line, err := a.typed.ReadSlice('\n')
		came <- typed{string(line), err}
	}()
	select {
	case t := <-came:
		if unseen {
			fmt.Fprintln(a.Out)
		}
		if t.err != nil {
			return "", ErrStopped
		}
		return t.line, nil
	case <-ctx.Done():
		if echo != nil {
			term.Restore(fd, echo)
		}
		return "", ErrStopped
	}
}

// Result is what is wrong with the flags when the questions are over, err being how
// they ended: all that are missing, or those that no question wanted.
func (a *Asker) Result(err error) error {
	if err != nil && !errors.Is(err, errUnanswered) {
		return err
	}
	if len(a.missing) > 0 {
		var b strings.Builder
		b.WriteString("there is no terminal to ask at, and these flags are missing:")
		for _, q := range a.missing {
			fmt.Fprintf(&b, "\n  --%-18s %s", q.Flag, q.about())
		}
		if strings.Contains(b.String(), suggested) {
			b.WriteString("\n--yes takes what is suggested")
		}
		return errors.New(b.String())
	}
	for flag := range a.Flags {
		if !slices.Contains(a.asked, flag) {
			return fmt.Errorf("--%s has no use with the other answers", flag)
		}
	}
	return nil
}

const suggested = " (suggested: "

// about is a question in one line: its last one, the others explain.
func (q Question) about() string {
	text := strings.TrimSuffix(q.Text[strings.LastIndexByte(q.Text, '\n')+1:], "?")
	if len(q.Choices) > 0 {
		var values []string
		for _, c := range q.Choices {
			values = append(values, c.Value)
		}
		text += ": " + strings.Join(values, ", ")
	}
	if q.Suggest != "" && !q.Person {
		text += suggested + q.Suggest + ")"
	}
	return text
}
