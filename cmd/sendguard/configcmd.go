package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

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
		c, err := loadConfig(cmd.Flag("config").Value.String())
		if err != nil {
			return err
		}
		if err := c.print(cmd.OutOrStdout()); err != nil {
			return faultError{err}
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
func tryUpstreams(ctx context.Context, c *config, out io.Writer) error {
	routes, err := c.proxyRoutes(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for _, r := range routes {
		offers, err := proxy.Probe(ctx, r.Upstream, c.proxyLimits())
		if err != nil {
			failed = append(failed, fmt.Errorf("route %s: %s: %w", r.Name, r.Upstream.Address, err))
			continue
		}
		fmt.Fprintf(out, "# route %s: %s: %s\n", r.Name, r.Upstream.Address, offers)
	}
	return errors.Join(failed...)
}
