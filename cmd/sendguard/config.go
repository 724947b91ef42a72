package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"sendguard/cmd/sendguard/config"
	"sendguard/proxy"
)

func configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check the configuration and print it as it is in force",
		Args:  cobra.NoArgs,
	}
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
		for _, w := range c.Warnings() {
			fmt.Fprintln(cmd.ErrOrStderr(), w)
		}
		if err := c.Print(cmd.OutOrStdout()); err != nil {
			return faultError{err}
		}
		if len(tried) > 0 {
			fmt.Fprintf(cmd.OutOrStdout(), "# can be written to as user %s: %s\n", config.Account(), strings.Join(tried, ", "))
		}
		if *connect {
			return tryUpstreams(cmd.Context(), c, cmd.OutOrStdout())
		}
		return nil
	}
	return cmd
}

// tryUpstreams tries the upstream of each route and writes what it offers, as
// comments below the configuration. The error names those that failed.
func tryUpstreams(ctx context.Context, c *config.Config, out io.Writer) error {
	routes, err := c.ProxyRoutes(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for _, r := range routes {
		offers, err := proxy.Probe(ctx, r.Upstream, c.ProxyLimits())
		if err != nil {
			failed = append(failed, fmt.Errorf("route %s: %s: %w", r.Name, r.Upstream.Address, err))
			continue
		}
		fmt.Fprintf(out, "# route %s: %s: %s\n", r.Name, r.Upstream.Address, offers)
	}
	return errors.Join(failed...)
}
