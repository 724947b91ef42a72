package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"syscall"

	"github.com/cli/browser"
	"github.com/spf13/cobra"

	"sendguard/cmd/sendguard/config"
	"sendguard/proxy"
	"sendguard/proxy/oauth2"
	"sendguard/proxy/upstream"
)

func loginCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "login [ROUTE]",
		Short: "Sign in to the mailbox of a route with oauth2",
		Long: `Sign in to the mailbox of a route with oauth2, as the user that runs the guard. A
browser opens and asks; what the provider then gives is kept in the route's store,
and a running guard takes it up at once.`,
		Args: cobra.MaximumNArgs(1),
	}
	device := cmd.Flags().Bool("device", false, "sign in on another device, with a code that is shown here")
	paste := cmd.Flags().Bool("paste", false, "show the address to sign in at, and read the one that the browser ends up at")
	delegate := cmd.Flags().Bool("delegate", false, "keep the login of another mailbox than username: of somebody who may send for it")
	cmd.MarkFlagsMutuallyExclusive("device", "paste")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		c, err := config.Load(cmd.Flag("config").Value.String())
		if err != nil {
			return err
		}
		r, err := findLogin(c, args)
		if err != nil {
			return err
		}
		s := signIn{LoginRoute: r, delegate: *delegate, limits: c.ProxyLimits(), in: cmd.InOrStdin(), out: cmd.OutOrStdout()}
		switch {
		case *device || r.Flow == oauth2.Device && !*paste:
			s.ask = s.byDevice
		case *paste:
			s.ask = s.byPaste
		default:
			s.ask = s.byBrowser
		}
		return s.run(ctx)
	}
	return cmd
}

// findLogin returns the route that somebody logs in for: the one that was named, or
// the only one.
func findLogin(c *config.Config, named []string) (r config.LoginRoute, err error) {
	routes, err := c.LoginRoutes()
	if err != nil {
		return r, err
	}
	found := 0
	for _, candidate := range routes {
		switch {
		case len(named) > 0 && candidate.Name != named[0]:
		case !candidate.Flow.Personal():
			err = fmt.Errorf("route %s has flow: %s, an application's: nobody logs in for it", candidate.Name, candidate.Flow)
		default:
			r, found = candidate, found+1
		}
	}
	switch {
	case found == 1:
		return r, nil
	case found > 1:
		return r, errors.New("several routes have oauth2: name one of them")
	case err != nil:
		return r, err
	case len(named) > 0:
		return r, fmt.Errorf("there is no route %q with oauth2", named[0])
	}
	return r, errors.New("no route has oauth2")
}

// A signIn is one run of the command.
type signIn struct {
	config.LoginRoute
	delegate bool
	limits   proxy.Limits
	in       io.Reader
	out      io.Writer
	ask      func(context.Context) (*oauth2.Grant, error)
}

// run signs in, keeps what that gave, and tries it.
func (s *signIn) run(ctx context.Context) error {
	if err := s.Client.Store.Check(); err != nil { // nobody is to sign in for nothing
		return faultError{err}
	}
	grant, err := s.ask(ctx)
	if err != nil {
		return faultError{err}
	}
	if !grant.IsOf(s.Mailbox) && !s.delegate {
		return faultError{fmt.Errorf("this was the mailbox %s, and username is %s: nothing was kept. Sign in as the other, or set username; "+
			"--delegate keeps it, for somebody who may send for the mailbox", grant.Mailbox, s.Mailbox)}
	}
	if err := s.Client.Remember(ctx, grant); err != nil {
		return faultError{err}
	}
	mailbox := grant.Mailbox
	if mailbox == "" {
		mailbox = s.Mailbox + " (the provider does not say whose it is)"
	}
	fmt.Fprintf(s.out, "Logged in: %s. The login is kept in %s.\n", mailbox, s.Store)
	s.Upstream.Login = &upstream.Login{Username: s.Mailbox, Mechanism: s.With, Password: grant.Access}
	if _, err := upstream.Probe(ctx, s.Upstream, s.limits.Timeouts()); err != nil {
		return faultError{fmt.Errorf("but %s does not take it: %w", s.Upstream.Address, err)}
	}
	fmt.Fprintf(s.out, "%s takes it.\n", s.Upstream.Address)
	return nil
}

// byBrowser opens the browser of this machine. Where there is none, a person opens
// the address in another way; so it is shown, too.
func (s *signIn) byBrowser(ctx context.Context) (*oauth2.Grant, error) {
	return s.Client.LogInByBrowser(ctx, func(address string) {
		fmt.Fprintf(s.out, "Sign in with the browser. If none opens, open this address on this machine, once and within five minutes:\n\n%s\n\n", address)
		browser.Stdout, browser.Stderr = io.Discard, io.Discard
		go browser.OpenURL(address) // some return when they are closed
	})
}

func (s *signIn) byDevice(ctx context.Context) (*oauth2.Grant, error) {
	return s.Client.LogInByDevice(ctx, s.out)
}

func (s *signIn) byPaste(ctx context.Context) (*oauth2.Grant, error) {
	return s.Client.LogInByPaste(ctx, s.in, s.out)
}
