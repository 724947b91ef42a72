package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"sendguard/cmd/sendguard/config"
	"sendguard/policy"
	"sendguard/proxy"
	"sendguard/proxy/unfinished"
)

func serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the guard until it is interrupted",
		Long: `Run the guard. On SIGHUP it reads its configuration again: the policy holds from
the next message on, the rest from the next connection on; a file with a mistake
changes nothing. With server.watch_config a changed file does the same. On SIGINT or SIGTERM it takes no more clients, finishes the
messages that are under way, and ends; a second signal ends it at once.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			hangup := make(chan os.Signal, 1) // those that come during a reload call for one more
			signal.Notify(hangup, syscall.SIGHUP)
			defer signal.Stop(hangup)
			s := &service{file: cmd.Flag("config").Value.String()}
			c, err := s.load()
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return s.serve(ctx, stop, c, hangup, cmd.ErrOrStderr())
		},
	}
}

// A service is the guard while it runs.
type service struct {
	file     string         // the configuration, as it was named
	started  *config.Config // what it began with
	shutdown atomic.Int64   // how long a stop may take
	outdated atomic.Bool    // the file says something else, and is wrong
	watch    watch          // of the file; whoever loads it has it
	level    slog.LevelVar
	log      *slog.Logger
	metrics  *proxy.Metrics
	srv      *proxy.Server
	status   *proxy.Status
	systemd  notifier
}

// serve runs the guard until ctx ends; stop has further signals end the
// process at once.
func (s *service) serve(ctx context.Context, stop func(), c *config.Config, hangup <-chan os.Signal, stderr io.Writer) error {
	s.started, s.log = c, newLogger(c.Log.Format, stderr, &s.level)
	s.systemd.log = s.log
	s.follow(c)
	if _, err := c.Try(ctx, false); err != nil {
		return err
	}
	s.warn(c)
	routes, err := c.ProxyRoutes(ctx)
	if err != nil {
		return err
	}
	p, err := policy.New(c.PolicySettings())
	if err != nil {
		return err
	}
	var names []string
	for _, r := range routes {
		names = append(names, r.Name)
	}
	s.metrics = proxy.NewMetrics(names, p.RuleNames(), build())
	sends, err := unfinished.Open(ctx, string(c.Policy.Individual.State))
	if err != nil {
		return faultError{c.Mistake("policy.individual.state", err)}
	}
	defer sends.Close()
	s.srv = proxy.NewServer(routes, c.ProxyLimits(), p, sends, s.metrics, s.log)
	if err := s.srv.Start(); err != nil {
		return faultError{err}
	}
	var background sync.WaitGroup
	s.status, err = proxy.NewStatus(c.Metrics.Listen, c.Instance(), s.metrics, s.srv.Ready)
	if err != nil {
		err = faultError{fmt.Errorf("cannot listen for metrics: %w", err)}
	} else {
		defer s.status.Close()
		s.log.Info("metrics", "listen", s.status.Addr().String())
		defer s.findable()()
		s.systemd.ready(s.condition())
		background.Go(func() { s.reloadAt(ctx, hangup) })
		background.Go(func() { s.keepAlive(ctx) })
		<-ctx.Done()
	}
	stop()
	s.stop(&background)
	return err
}

// findable has sendguard reload find this process until release. Without it
// everything else works.
func (s *service) findable() (release func()) {
	path, err := config.Find(s.file)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err == nil {
		release, err = beFound(path)
	}
	if err != nil {
		s.log.Info("sendguard reload will not find this process", "error", err)
		return func() {}
	}
	return release
}

// stop ends the service within its time.
func (s *service) stop(background *sync.WaitGroup) {
	s.systemd.stopping(s.condition())
	within := time.Duration(s.shutdown.Load())
	s.log.Info("stopping when the messages under way are finished", "within", within)
	bounded, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if s.srv.Shutdown(bounded) != nil {
		s.log.Warn("sessions were cut off; none of their messages was finished")
	}
	s.await(background)
	s.log.Info("stopped")
}

// reloadEnd is how long a reload may take to notice a stop.
const reloadEnd = 2 * time.Second

// await waits for what ends with the service: a command that a reload waits for is
// killed. Nothing ends a wait for a file, on a network file system that does not
// answer or a pipe that nobody writes to; that is left behind.
func (s *service) await(background *sync.WaitGroup) {
	ended := make(chan struct{})
	go func() {
		background.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(reloadEnd):
		s.log.Warn("a reload still waits for a file, and is left behind")
	}
}

func newLogger(format string, w io.Writer, level *slog.LevelVar) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if format == "json" {
		opts.ReplaceAttr = func(_ []string, a slog.Attr) slog.Attr {
			if a.Value.Kind() == slog.KindDuration {
				a.Value = slog.Float64Value(a.Value.Duration().Seconds())
			}
			return a
		}
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
