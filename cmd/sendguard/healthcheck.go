package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"

	"sendguard/cmd/sendguard/config"
	"sendguard/proxy"
)

// healthTime bounds a health check; containers give up after 30 s.
const healthTime = 5 * time.Second

func healthcheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask the running guard whether it is ready (for containers)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(cmd.Flag("config").Value.String())
			if err != nil {
				return faultError{err} // containers know 0 and 1
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), healthTime)
			defer cancel()
			if err := proxy.CheckReady(ctx, reachable(c.Metrics.Listen)); err != nil {
				return faultError{fmt.Errorf("not ready: %w", err)}
			}
			fmt.Fprintln(cmd.OutOrStdout(), "ready")
			return nil
		},
	}
}

// reachable returns where a listener on all addresses can be asked.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("localhost", port)
	}
	return listen
}
