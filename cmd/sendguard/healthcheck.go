package main

import (
	"context"
	"errors"
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
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask the running guard whether it is ready (for containers)",
		Long: `Ask /readyz of the running guard: of that of the configuration, or with --address
of whichever answers there, which needs no configuration and no secret. Exit status 0
where it is ready, else 1.`,
		Args: cobra.NoArgs,
	}
	address := cmd.Flags().String("address", "", "host:port of its metrics, in place of a configuration")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), healthTime)
		defer cancel()
		if err := checkHealth(ctx, *address, cmd.Flag("config").Value.String()); err != nil {
			return faultError{fmt.Errorf("not ready: %w", err)} // containers know 0 and 1
		}
		fmt.Fprintln(cmd.OutOrStdout(), "ready")
		return nil
	}
	return cmd
}

// checkHealth asks at an address, or where the configuration says.
func checkHealth(ctx context.Context, address, file string) error {
	if address != "" && file != "" {
		return errors.New("--address takes the place of --config")
	}
	if address != "" {
		return proxy.CheckReady(ctx, reachable(address), "")
	}
	c, err := config.Load(file)
	if err != nil {
		return err
	}
	return proxy.CheckReady(ctx, reachable(c.Metrics.Listen), c.Instance())
}

// reachable returns where a listener on all addresses can be asked.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("localhost", port)
	}
	return listen
}
