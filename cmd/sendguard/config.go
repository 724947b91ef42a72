package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"sendguard/cmd/sendguard/config"
	"sendguard/proxy/upstream"
)

func configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check the configuration",
		Long: `Check the configuration, and say in one line that it is good. Only what --print
prints goes to standard output. Exit status 0; 1 where an upstream fails that
--connect tried; 2 where the configuration is not good.`,
		Args: cobra.NoArgs,
	}
	show := cmd.Flags().Bool("print", false, "print it as it is in force, with its defaults and without its secrets")
	connect := cmd.Flags().Bool("connect", false, "also connect to each upstream: TLS, EHLO, and the login of auth: login")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := config.Load(cmd.Flag("config").Value.String())
		if err != nil {
			return err
		}
		tried, err := c.Try(cmd.Context(), true)
		if err != nil {
			return err
		}
		said := cmd.ErrOrStderr()
		for _, w := range c.Warnings() {
			fmt.Fprintln(said, w)
		}
		for _, note := range c.Notes() {
			fmt.Fprintln(said, "note:", note)
		}
		fmt.Fprintln(said, isGood(c, tried))
		if *show {
			if err := c.Print(cmd.OutOrStdout()); err != nil {
				return faultError{err}
			}
		}
		if *connect {
			return tryUpstreams(cmd.Context(), c, said)
		}
		return nil
	}
	return cmd
}

// isGood is the line for a configuration without mistakes.
func isGood(c *config.Config, tried []string) string {
	routes, rules := len(c.Routes), len(c.Policy.Rules)
	line := fmt.Sprintf("%s is good: %d %s, %d %s, action %s", c.Path(), routes, plural(routes, "route"), rules, plural(rules, "rule"), c.Policy.Action)
	if len(tried) > 0 {
		line += fmt.Sprintf("; user %s can write to %s", config.Account(), strings.Join(tried, ", "))
	}
	return line
}

// tryUpstreams tries the upstreams of all routes at once, since a silent one takes
// its time, and writes what each offers. The error names those that failed.
func tryUpstreams(ctx context.Context, c *config.Config, out io.Writer) error {
	routes, err := c.ProxyRoutes(ctx)
	if err != nil {
		return err
	}
	limits := c.ProxyLimits()
	offers, failed := make([]string, len(routes)), make([]error, len(routes))
	var wg sync.WaitGroup
	for i, r := range routes {
		wg.Go(func() { offers[i], failed[i] = upstream.Probe(ctx, r.Upstream, limits.Timeouts()) })
	}
	wg.Wait()
	for i, r := range routes {
		if failed[i] != nil {
			failed[i] = fmt.Errorf("route %s: %s: %w", r.Name, r.Upstream.Address, failed[i])
			continue
		}
		fmt.Fprintf(out, "route %s: %s: %s\n", r.Name, r.Upstream.Address, offers[i])
	}
	return faultOf(errors.Join(failed...))
}

// faultOf has an error end the command with the status of a fault.
func faultOf(err error) error {
	if err == nil {
		return nil
	}
	return faultError{err}
}
