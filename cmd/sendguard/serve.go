package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"sendguard/policy"
	"sendguard/proxy"
	"sendguard/proxy/unfinished"
)

func serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the guard until it is interrupted",
		Long: `Run the guard. On SIGINT or SIGTERM it takes no more clients, finishes the
messages that are under way, and ends; a second signal ends it at once.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := loadConfig(cmd.Flag("config").Value.String())
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return serve(ctx, stop, c, cmd.ErrOrStderr())
		},
	}
}

// serve runs the guard until ctx ends; stop has further signals end the
// process at once.
func serve(ctx context.Context, stop func(), c *config, stderr io.Writer) error {
	log := c.logger(stderr)
	routes, err := c.routes()
	if err != nil {
		return err
	}
	p, err := policy.New(c.Policy.settings())
	if err != nil {
		return err
	}
	var names []string
	for _, r := range routes {
		names = append(names, r.Name)
	}
	metrics := proxy.NewMetrics(names, p.RuleNames(), build())
	sends, err := unfinished.Open(ctx, string(c.Policy.Individual.State))
	if err != nil {
		return faultError{fmt.Errorf("policy.individual.state: %w", err)}
	}
	defer sends.Close()
	srv := proxy.NewServer(routes, c.limits(), p, sends, metrics, log)
	if err := srv.Start(); err != nil {
		return faultError{fmt.Errorf("cannot listen: %w", err)}
	}
	status, err := proxy.NewStatus(c.Metrics.Listen, metrics, srv.Ready)
	if err != nil {
		err = faultError{fmt.Errorf("cannot listen for metrics: %w", err)}
		stop()
	} else {
		defer status.Close()
		log.Info("metrics", "listen", status.Addr().String())
		<-ctx.Done()
		stop()
		log.Info("stopping when the messages under way are finished", "within", c.Server.Shutdown)
	}
	bounded, cancel := context.WithTimeout(context.Background(), c.Server.Shutdown)
	defer cancel()
	if srv.Shutdown(bounded) != nil {
		log.Warn("sessions were cut off; none of their messages was finished")
	}
	log.Info("stopped")
	return err
}

func (c *config) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Log.Level)); err != nil {
		level = slog.LevelInfo
	}
	opts := &slog.HandlerOptions{Level: level}
	if c.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
