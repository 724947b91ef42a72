package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"sendguard/cmd/sendguard/config"
	"sendguard/cmd/sendguard/setup"
	"sendguard/cmd/sendguard/supervisor"
	"sendguard/policy"
	"sendguard/policy/mail"
)

// none is the answer that wants nothing.
const none = "none"

func (s *setupRun) askInternal(ctx context.Context) error {
	suggest := s.domain
	if policy.IsPersonal(s.domain) {
		suggest = none
	}
	answer, err := s.Ask(ctx, setup.Question{
		Flag: "internal", Suggest: suggest,
		Text: "Addresses at your own domains are inside: they do not count as outsiders. Put commas between several; .example.com means the subdomains of example.com.\nDomains of your own, or none",
		Check: func(answer string) error {
			_, err := mail.NewDomainSet(domains(answer))
			return err
		},
	})
	s.draft.Internal = domains(answer)
	return err
}

// domains are those of a list with commas or blanks.
func domains(answer string) []string {
	if answer == none {
		return nil
	}
	return strings.FieldsFunc(answer, func(r rune) bool { return r == ',' || r == ' ' })
}

// askLimit asks for the limit, and before that offers to show what limits mean for
// the mail that was sent.
func (s *setupRun) askLimit(ctx context.Context) error {
	if s.Given("sent") || !s.Given("limit") {
		if err := s.askSent(ctx); err != nil {
			return err
		}
	}
	const usual = "10"
	answer, err := s.Ask(ctx, setup.Question{
		Flag: "limit", Suggest: usual, Text: "Most outside addresses that recipients may see, or unlimited",
		Check: func(answer string) error {
			if _, err := strconv.ParseUint(answer, 10, 31); err != nil && answer != "unlimited" {
				return fmt.Errorf("%q is not a number, or unlimited", answer)
			}
			return nil
		},
	})
	if answer != usual {
		s.draft.Limit = answer
	}
	return err
}

// maxSent is how many folders are offered.
const maxSent = 8

func (s *setupRun) askSent(ctx context.Context) error {
	q := setup.Question{Flag: "sent", Text: "A look at the mail that you sent shows which limit is right. Nothing of it leaves this machine.\nWhich folder (a number, or the path of another one)?", Suggest: none, Check: func(path string) error {
		if path != none && !exists(path) {
			return fmt.Errorf("there is no %s", path)
		}
		return nil
	}}
	found := s.sent()
	for _, f := range found[:min(len(found), maxSent)] {
		q.Choices = append(q.Choices, setup.Choice{Value: f.Path, Text: fmt.Sprintf("%s (%s)", printable(abbreviated(f.Path)), size(f.Bytes))})
	}
	if len(found) > 0 {
		q.Choices = append(q.Choices, setup.Choice{Value: none, Text: "none"})
	} else {
		q.Text = "A look at the mail that you sent shows which limit is right. No folder with it was found where mail programs have one.\nFolder or file with sent mail, or none"
	}
	path, err := s.Ask(ctx, q)
	if err != nil || path == none {
		return err
	}
	return s.summarize(ctx, path)
}

func sentFolders() []setup.Sent {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil
	}
	data, _ := os.UserConfigDir() // AppData on Windows, where alone it is asked for
	return setup.System{OS: runtime.GOOS, Home: home, AppData: data}.Find()
}

// abbreviated is a path with ~ for the home.
func abbreviated(path string) string {
	home, err := os.UserHomeDir()
	if err != nil {
		return path
	}
	if rest, ok := strings.CutPrefix(path, home+string(filepath.Separator)); ok {
		return filepath.Join("~", rest)
	}
	return path
}

func size(bytes int64) string {
	if bytes < 1<<20 {
		return fmt.Sprintf("%d KB", (bytes+1023)/1024)
	}
	return fmt.Sprintf("%d MB", bytes>>20)
}

// summarize shows what sendguard check --summary does. Where ctx ends, the reading is
// left behind; the command then ends, too.
func (s *setupRun) summarize(ctx context.Context, path string) error {
	c, err := s.candidate()
	if err != nil {
		return err
	}
	var text bytes.Buffer
	out := bufio.NewWriter(&text)
	report := newSummary(out, c)
	report.folder = filepath.Dir(path) + string(filepath.Separator) // the rest of the line is for counts
	done := make(chan error, 1)
	go func() { done <- check(s.cmd, c, report, out, []string{path}) }()
	select {
	case err = <-done:
	case <-ctx.Done():
		return setup.ErrStopped
	}
	fmt.Fprintf(s.Out, "\n%s", text.Bytes())
	if err != nil && !errors.As(err, new(faultError)) { // that some would be stopped is no fault
		s.Say("%v", err)
	}
	return nil
}

func (s *setupRun) askClient(ctx context.Context) error {
	q := setup.Question{Flag: "client", Text: "Which mail program do you want the settings for?", Suggest: setup.Other}
	var programs []string
	for _, f := range s.sent() {
		programs = append(programs, f.Of)
	}
	for _, c := range setup.Clients {
		q.Choices = append(q.Choices, setup.Choice{Value: c.Name, Text: c.Title})
		if q.Suggest == setup.Other && slices.Contains(programs, c.Title) {
			q.Suggest = c.Name
		}
	}
	name, err := s.Ask(ctx, q)
	s.client, _ = setup.ClientNamed(name)
	return err
}

// setListeners finds addresses for the guard and its metrics: those that mail programs
// and scrapers know from the configuration that is replaced, or free ones.
func (s *setupRun) setListeners() error {
	const usual = "127.0.0.1:9587"
	s.draft.Listen, s.draft.Metrics = free("127.0.0.1:1587"), free(usual)
	if s.old != nil {
		s.draft.Metrics = s.old.Metrics.Listen
		if host, _, err := net.SplitHostPort(s.old.Routes[0].Listen); err == nil && config.IsLoopback(host) {
			s.draft.Listen = s.old.Routes[0].Listen
		}
	}
	if s.draft.Metrics == usual { // the default
		s.draft.Metrics = ""
	}
	if flag := s.Use("listen"); flag != "" {
		s.draft.Listen = flag
	}
	if host, _, err := net.SplitHostPort(s.draft.Listen); err != nil || !config.IsLoopback(host) {
		return fmt.Errorf("--listen: %q is not a host:port of this machine; for other machines, and unix sockets, change the configuration afterwards", s.draft.Listen)
	}
	return nil
}

// free is the address, or where somebody listens there that of the next port that is
// free.
func free(address string) string {
	host, first, _ := net.SplitHostPort(address)
	port, _ := strconv.Atoi(first)
	for next := port; next < port+100; next++ {
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(next)))
		if err == nil {
			l.Close()
			return l.Addr().String()
		}
	}
	return address
}

// askService offers to have the guard started, where it can be.
func (s *setupRun) askService(ctx context.Context) (err error) {
	with := setup.Choice{Value: "user", Text: "when you log in, and now"}
	if os.Geteuid() == 0 {
		with = setup.Choice{Value: "system", Text: "when the machine starts, and now"}
	}
	q := setup.Question{Flag: "service", Text: "Have the guard started from now on?", Suggest: with.Value, Choices: []setup.Choice{with, {Value: none, Text: "no, I start it myself"}}}
	if problem := unstartable(ctx); problem != "" {
		q.Choices, q.Suggest = q.Choices[1:], none
		if !s.Given("service") {
			s.Say("\nIt cannot be started for you: %s.", problem)
			s.service = none
			return nil
		}
	}
	s.service, err = s.Ask(ctx, q)
	return err
}

// unstartable says why the system would not start this program by itself; "": it would.
func unstartable(ctx context.Context) string {
	if _, err := supervisor.Here(ctx); err != nil {
		return err.Error()
	}
	if _, err := os.Stat("/run/systemd/system"); runtime.GOOS == "linux" && err != nil { // sd_booted(3)
		return "systemd does not run here"
	}
	program, err := thisProgram()
	switch {
	case err != nil:
		return err.Error()
	case strings.HasPrefix(program, os.TempDir()+string(os.PathSeparator)):
		return program + " is in the folder for temporary files"
	}
	return ""
}

// askAgreement shows what will be written, for a person to agree to.
func (s *setupRun) askAgreement(ctx context.Context) error {
	if s.signIn != "" {
		s.draft.Store = s.store()
	}
	if _, err := s.candidate(); err != nil {
		return err
	}
	if s.Terminal == nil || s.Yes {
		return nil
	}
	text, err := s.draft.YAML()
	if err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "\nThe configuration, for %s:\n\n%s", s.path, text)
	answer, err := s.Ask(ctx, setup.Question{Text: "Write it?", Suggest: "yes", Choices: []setup.Choice{{Value: "yes", Text: "yes"}, {Value: "no", Text: "no, stop here"}}})
	if err == nil && answer != "yes" {
		err = setup.ErrStopped
	}
	return err
}
