package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"

	"sendguard/cmd/sendguard/config"
	"sendguard/cmd/sendguard/setup"
	"sendguard/cmd/sendguard/supervisor"
	"sendguard/proxy/oauth2"
)

// store is where the token is kept: as the flag says; in the keyring, where the account
// that runs the guard has one; else in a file. "" is the keyring.
func (s *setupRun) store() string {
	flag := s.Use("store")
	keyring, err := oauth2.OpenStore(oauth2.Keyring, oauth2.Provider{}, "", "")
	switch {
	case flag == oauth2.Keyring:
		return ""
	case flag != "":
		return flag
	case s.service == "system":
		return oauth2.FilePrefix + "/var/lib/" + supervisor.Name + "/token" // its account can write there alone
	case err == nil && keyring.Check() == nil:
		return ""
	}
	return oauth2.FilePrefix + "token"
}

// write writes the secrets, and then the configuration that names them. What is
// replaced is kept beside it.
func (s *setupRun) write(context.Context) error {
	dir := filepath.Dir(s.path)
	mode := os.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o755 // the account of the guard goes in, too
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return faultError{err}
	}
	text, err := s.draft.YAML()
	if err != nil {
		return err
	}
	for name, secret := range s.secrets {
		if err := s.writeFile(filepath.Join(dir, name), []byte(secret+"\n")); err != nil {
			return err
		}
	}
	return s.writeFile(s.path, text)
}

// writeFile writes a file for its owner alone. One that is there stays under another
// name, and gives its owner and mode to the new one.
func (s *setupRun) writeFile(path string, text []byte) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if exists(path) {
		kept, err := keep(path)
		if err != nil {
			return faultError{fmt.Errorf("no copy can be kept, so %s stays as it is: %w", path, err)}
		}
		fmt.Fprintf(s.Out, "kept     %s\n", kept)
	}
	if err := replaceFile(path, guardMode(path), text); err != nil {
		return faultError{err}
	}
	s.written = append(s.written, path)
	fmt.Fprintf(s.Out, "wrote    %s\n", path)
	return nil
}

// keep gives a file another name besides, under which it stays with owner and mode
// when another one takes its place. No earlier copy is touched.
func keep(path string) (kept string, err error) {
	for n := 1; ; n++ {
		kept = fmt.Sprintf("%s.%d.old", path, n)
		if err = os.Link(path, kept); !errors.Is(err, fs.ErrExist) {
			return kept, err
		}
	}
}

// start has the guard started from now on, or tells the one that runs.
func (s *setupRun) start(ctx context.Context) error {
	c, err := config.Load(s.path)
	if err != nil {
		return err
	}
	for _, note := range c.Notes() {
		s.Say("note: %s", note)
	}
	if s.service == none {
		if pid, err := hangUp(s.path); err == nil {
			s.running = true
			s.Say("process %d runs with it, and was told to load it again", pid)
		}
		return nil
	}
	if err := s.install(ctx); err != nil {
		s.failed = true
		s.Say("It was not installed as a service: %v", err)
		return nil
	}
	s.running = true
	return nil
}

func (s *setupRun) install(ctx context.Context) error {
	m, err := supervisor.Here(ctx)
	if err != nil {
		return err
	}
	service := supervisor.Service{Config: s.path, System: s.service == "system"}
	if service.Program, err = thisProgram(); err != nil {
		return err
	}
	if service.System {
		service.Readable = s.written
	}
	if err := installable(m, service); err != nil {
		return err
	}
	plan, err := m.Install(service)
	if err != nil {
		return err
	}
	return plan.Do(ctx, s.Out)
}

// logIn signs in where a person's token is needed.
func (s *setupRun) logIn(ctx context.Context) error {
	if s.signIn == "" || s.signIn == "later" {
		return nil
	}
	c, err := config.Load(s.path)
	if err != nil {
		return err
	}
	r, err := findLogin(c, nil)
	if err != nil {
		return err
	}
	fmt.Fprintln(s.Out)
	sign := signIn{LoginRoute: r, limits: c.ProxyLimits(), in: s.cmd.InOrStdin(), out: s.Out}
	sign.ask = map[string]func(context.Context) (*oauth2.Grant, error){"browser": sign.byBrowser, "device": sign.byDevice, "paste": sign.byPaste}[s.signIn]
	if err := sign.run(ctx); err != nil {
		s.failed = true
		s.Say("You are not signed in: %v", err)
		s.signIn = "later"
	}
	return nil
}

// tell shows the settings for the mail program, and the one thing to do next.
func (s *setupRun) tell(context.Context) error {
	guard := setup.Guard{From: s.account, Login: s.draft.Way == setup.Relay}
	var err error
	if guard.Host, guard.Port, err = net.SplitHostPort(s.draft.Listen); err != nil {
		return err
	}
	settings, err := s.client.Settings(guard)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "\nSettings for %s\n\n%s", s.client.Title, settings)
	if guard.Login {
		s.Say("\nThe password is %s. sendguard passes it on and keeps nothing of it.", s.preset.Password)
	}
	if !s.running {
		s.Say("\nThe guard must be running whenever you send.")
	}
	next := "\nNext: " + s.next()
	if s.failed {
		return faultError{errors.New(next)}
	}
	fmt.Fprintln(s.Out, next)
	return nil
}

// next is the one thing to do next.
func (s *setupRun) next() string {
	command := func(verb string) string {
		program := os.Args[0]
		if found, err := exec.LookPath("sendguard"); err == nil && sameFile(found, program) {
			program = "sendguard"
		}
		if found, err := config.Find(""); err != nil || found != s.path {
			verb += " --config " + s.path
		}
		return program + " " + verb
	}
	switch {
	case s.signIn == "later":
		return command("login")
	case !s.running:
		return command("serve")
	}
	return "enter these settings, and send a mail to yourself."
}

// sameFile reports whether two paths are the same file.
func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	two, err2 := os.Stat(b)
	return cmp.Or(err, err2) == nil && os.SameFile(one, two)
}
