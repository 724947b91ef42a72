package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"sendguard/cmd/sendguard/config"
	"sendguard/cmd/sendguard/setup"
)

// setupFlags answer the questions of sendguard setup, in the order in which they come.
var setupFlags = []struct{ name, usage string }{
	{"account", "e-mail address of the account"},
	{"provider", "whose server it is, where the address does not tell:\n" + strings.Join(presetNames(), ", ")},
	{"server", "the outgoing server, host:port"},
	{"tls", "starttls, implicit or none (default: implicit on port 465, else starttls)"},
	{"ca-file", "certificate of who has signed the server's, where no machine knows it"},
	{"auth", "who logs in there: relay (your mail program, as before), login (sendguard,\nwith a password), oauth2 (sendguard, with a token)"},
	{"username", "for login: user name at the server"},
	{"password-file", "for login: file with the password; - reads it from standard input"},
	{"password-command", "for login: command that prints the password"},
	{"client-id", "for oauth2: what the provider calls the application that you registered"},
	{"client-secret-file", "for oauth2: file with the application's secret; - reads it from standard input"},
	{"tenant", "for oauth2 at Microsoft: id or domain of the organisation"},
	{"store", "for oauth2: where the token is kept, keyring or file:PATH (default: the keyring\nwhere there is one)"},
	{"sign-in", "for oauth2: browser, device, paste (see sendguard login), or later"},
	{"internal", "domains of your own, with commas between them, or none"},
	{"sent", "folder with sent mail that is to show which limit is right, or none"},
	{"limit", "most outside addresses that recipients may see, or unlimited"},
	{"client", "the mail program whose settings are shown:\n" + strings.Join(clientNames(), ", ")},
	{"listen", "where the guard listens (default 127.0.0.1:1587, or the next port that is free)"},
	{"service", "have it started: user (when you log in), system (with the machine), none"},
}

func setupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Set up a mail account: asks, tries the connection, writes the configuration",
		Long: `Set up a mail account. It asks for the account, tries the connection to its
server, signs in where the provider wants OAuth2, offers to look at the mail that
you sent to choose a limit, writes the configuration, offers to have the guard
started from now on, and shows the settings for your mail program. It sends no
mail, and writes nothing before all questions are answered.

Each question has a flag, and is not asked where the flag is there. Without a
terminal all of them are needed, or --yes for what is suggested. No secret is
ever an argument.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			s, err := newSetup(cmd)
			if err != nil {
				return faultError{err}
			}
			defer os.RemoveAll(s.stage)
			return s.run(ctx)
		},
	}
	for _, f := range setupFlags {
		cmd.Flags().String(f.name, "", f.usage)
	}
	cmd.Flags().Bool(replace, false, "replace the configuration that is there; a copy of it is kept")
	cmd.Flags().Bool("yes", false, "take what is suggested where no flag says otherwise")
	cmd.MarkFlagsMutuallyExclusive("password-file", "password-command")
	return cmd
}

// A setupRun is one run of the command: what it has come to know.
type setupRun struct {
	*setup.Asker
	cmd   *cobra.Command
	path  string              // of the configuration
	sent  func() []setup.Sent // the folders with mail that was sent; they are looked for once
	old   *config.Config      // the one that is replaced, where it is good
	stage string              // folder in which the configuration is tried before it is written

	account, domain string
	preset          setup.Preset
	draft           setup.Draft
	secrets         map[string]string // for files beside the configuration, by name
	signIn          string            // how; "": there is no need
	client          setup.Client
	service         string // user, system or none

	written []string // files
	running bool     // the guard
	failed  bool     // something that can be done again
}

func newSetup(cmd *cobra.Command) (*setupRun, error) {
	path, err := config.Place(cmd.Flag("config").Value.String())
	if err != nil {
		return nil, err
	}
	stage, err := os.MkdirTemp("", "sendguard-setup-")
	if err != nil {
		return nil, err
	}
	s := &setupRun{Asker: &setup.Asker{Out: cmd.OutOrStdout(), Flags: map[string]string{}}, cmd: cmd, path: path, sent: sync.OnceValue(sentFolders), stage: stage, secrets: map[string]string{}}
	if in, ok := cmd.InOrStdin().(*os.File); ok && isTerminal(in) {
		s.Terminal = in
	}
	for _, f := range setupFlags {
		if flag := cmd.Flag(f.name); flag.Changed {
			s.Flags[f.name] = flag.Value.String()
		}
	}
	if cmd.Flag(replace).Value.String() == "true" {
		s.Flags[replace] = replace
	}
	s.Yes = cmd.Flag("yes").Value.String() == "true"
	return s, nil
}

// run asks all questions, and then does what was agreed to.
func (s *setupRun) run(ctx context.Context) error {
	if s.Terminal != nil {
		s.Say("This sets up a mail account in a few questions. It sends no mail, and writes nothing before you agree at the end. Enter takes what stands in [brackets]; Ctrl-C stops.")
	}
	if err := s.Result(inTurn(ctx, s.askPlace, s.askAccount, s.askServer, s.askLogin, s.askInternal, s.askLimit, s.askClient, s.askService, s.askAgreement)); err != nil {
		if errors.Is(err, setup.ErrStopped) {
			return faultError{errors.New("stopped: nothing was written")}
		}
		return err
	}
	return inTurn(ctx, s.write, s.start, s.logIn, s.tell)
}

func inTurn(ctx context.Context, steps ...func(context.Context) error) error {
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// replace is the answer that takes the configuration away, and its own flag.
const replace = "replace"

// askPlace keeps the configuration that is there, unless somebody wants another one.
func (s *setupRun) askPlace(ctx context.Context) error {
	if !exists(s.path) {
		s.Use(replace) // there is nothing to replace
		return nil
	}
	answer, err := s.Ask(ctx, setup.Question{
		Flag: replace, Text: "There is a configuration already: " + s.path, Suggest: "keep", Person: true,
		Choices: []setup.Choice{{Value: "keep", Text: "keep it, and stop here"}, {Value: replace, Text: "replace it at the end; a copy is kept beside it"}},
	})
	if err != nil {
		return err
	}
	if answer != replace {
		return setup.ErrStopped
	}
	if old, err := config.Load(s.path); err == nil { // it may be what is wrong
		s.old = old
	}
	return nil
}

// candidate is the configuration as far as it is known, read and checked by what will
// read it, with the secrets beside it.
func (s *setupRun) candidate() (*config.Config, error) {
	text, err := s.draft.YAML()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(s.stage, filepath.Base(s.path))
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return nil, faultError{err}
	}
	for name, secret := range s.secrets {
		if err := os.WriteFile(filepath.Join(s.stage, name), []byte(secret+"\n"), 0o600); err != nil {
			return nil, faultError{err}
		}
	}
	c, err := config.Load(path)
	if err != nil {
		return nil, errors.New(strings.ReplaceAll(err.Error(), s.stage, filepath.Dir(s.path)))
	}
	return c, nil
}

func presetNames() (names []string) {
	for _, p := range setup.Presets {
		names = append(names, p.Name)
	}
	return names
}

func clientNames() (names []string) {
	for _, c := range setup.Clients {
		names = append(names, c.Name)
	}
	return names
}
