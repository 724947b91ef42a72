package config

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/user"
	"slices"
	"strings"

	"sendguard/policy"
	"sendguard/proxy/oauth2"
	"sendguard/proxy/unfinished"
	"sendguard/proxy/wire"
)

// Try tries what will be written to: the folder for messages that are held, where
// unfinished sends are remembered, and where tokens are kept. With looking, nothing is created or
// changed; otherwise a file is made in the folder, and is gone again. It returns
// the keys that it has tried; the error has a Mistake for each that is wrong.
func (c *Config) Try(ctx context.Context, looking bool) (keys []string, err error) {
	var failed []error
	note := func(key string, err error, values ...string) {
		keys = append(keys, key)
		if err != nil {
			failed = append(failed, c.source.mistake(c.source.line(key), key, "cannot be written to as user %s: %v", Account(), aboutFile(err, values...)))
		}
	}
	if dir := c.Server.SpoolDir; dir != "" || c.sendsCopies() {
		if dir == "" {
			dir = os.TempDir()
		}
		try := wire.TrySpool
		if looking {
			try = unfinished.MayWrite
		}
		note("server.spool_dir", try(dir), dir)
	}
	if state := string(c.Policy.Individual.State); state != "memory" {
		note("policy.individual.state", unfinished.Try(ctx, state), placesIn(state)...)
	}
	for i, r := range c.Routes {
		if o := &r.Upstream.OAuth2; o.Provider != "" && o.Flow.Personal() {
			note(fmt.Sprintf("routes[%d].upstream.oauth2.store", i), r.Upstream.tryStore(), strings.TrimPrefix(o.Store, oauth2.FilePrefix))
		}
	}
	return keys, errors.Join(failed...)
}

// sendsCopies reports whether an action in force is individual: then messages are
// held.
func (c *Config) sendsCopies() bool {
	return c.Policy.Action == policy.Individual ||
		slices.ContainsFunc(c.Policy.Rules, func(r ruleConfig) bool { return r.Action == policy.Individual })
}

// placesIn are the path or the host that an error about a state may name.
func placesIn(state string) []string {
	_, path, _ := strings.Cut(state, ":")
	if u, err := url.Parse(state); err == nil && u.Host != "" {
		return []string{u.Host, u.Hostname()}
	}
	return []string{path}
}

// Account is the name of the account that this process runs as.
func Account() string {
	u, err := user.Current()
	if err != nil {
		return "unknown"
	}
	return u.Username
}
