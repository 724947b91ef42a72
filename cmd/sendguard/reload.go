package main

import (
	"context"
	"log/slog"
	"os"

	"sendguard/cmd/sendguard/config"
	"sendguard/policy"
	"sendguard/proxy"
)

// reloadAt loads the configuration anew at each signal, and when a look finds that
// it has changed, one time after the other, until ctx ends.
func (s *service) reloadAt(ctx context.Context, hangup <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
		case <-s.watch.next():
			if !s.watch.changed(config.MarkOf(s.file)) {
				continue
			}
		}
		s.systemd.reloading()
		s.reload(ctx)
		s.systemd.ready(s.condition())
	}
}

// load reads the configuration. What it is marked as is read before: what changes in
// between is found by the next look.
func (s *service) load() (*config.Config, error) {
	s.watch.loads(config.MarkOf(s.file))
	return config.Load(s.file)
}

// reload loads the configuration anew, and logs and counts how that ended. Where
// it is wrong the old one stays. During a stop it does nothing.
func (s *service) reload(ctx context.Context) {
	c, err := s.tryReload(ctx)
	if ctx.Err() != nil {
		return
	}
	s.metrics.ConfigLoaded(err)
	s.outdated.Store(err != nil)
	if err != nil {
		for _, mistake := range withoutValues(err) {
			s.log.Error("the configuration cannot be loaded, the one before it stays", "error", mistake)
		}
		return
	}
	s.warn(c)
	for _, key := range needRestart(c, s.started) {
		s.log.Warn("a changed key takes effect after a restart only", "key", key)
	}
	s.log.Info("configuration loaded again", "routes", len(c.Routes), "rules", len(c.Policy.Rules))
}

// withoutValues is what is wrong, for the log: what the file says may be an
// address, a domain or a path, and file, line and key tell where it stands.
func withoutValues(err error) (mistakes []string) {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range all.Unwrap() {
			mistakes = append(mistakes, withoutValues(err)...)
		}
		return mistakes
	}
	if m, ok := err.(interface{ WithoutValues() string }); ok {
		return []string{m.WithoutValues()}
	}
	return []string{proxy.Reason(err)}
}

// warn tells of files that are open to other accounts: by route and key, for a
// path may hold a domain.
func (s *service) warn(c *config.Config) {
	for _, w := range c.Warnings() {
		s.log.Warn("a file "+w.Text, "route", w.Route, "key", w.Key)
	}
}

func (s *service) tryReload(ctx context.Context) (*config.Config, error) {
	c, err := s.load()
	if err != nil {
		return nil, err
	}
	if _, err := c.Try(ctx, false); err != nil {
		return nil, err
	}
	routes, err := c.ProxyRoutes(ctx)
	if err != nil {
		return nil, err
	}
	p, err := policy.New(c.PolicySettings())
	if err != nil {
		return nil, err
	}
	if err := s.srv.Reload(routes, c.ProxyLimits(), p); err != nil {
		return nil, err
	}
	s.follow(c)
	return c, nil
}

// follow takes over what the configuration says of the service itself.
func (s *service) follow(c *config.Config) {
	s.shutdown.Store(int64(c.Server.Shutdown))
	s.watch.on = c.Server.WatchConfig
	var level slog.Level
	if level.UnmarshalText([]byte(c.Log.Level)) == nil {
		s.level.Set(level)
	}
}

// needRestart lists the keys that are read at the start only and have another
// value than then.
func needRestart(c, started *config.Config) (keys []string) {
	if c.Metrics.Listen != started.Metrics.Listen {
		keys = append(keys, "metrics.listen")
	}
	if c.Log.Format != started.Log.Format {
		keys = append(keys, "log.format")
	}
	if c.Policy.Individual.State != started.Policy.Individual.State {
		keys = append(keys, "policy.individual.state")
	}
	return keys
}
