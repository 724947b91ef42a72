package unfinished

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// parse reads a state of the configuration and returns what opens it. No error
// repeats the state: it may hold a password.
func parse(state string) (open func(context.Context) (store, error), err error) {
	kind, rest, _ := strings.Cut(state, ":")
	switch {
	case state == "memory":
		return func(context.Context) (store, error) { return openMemory(time.Now), nil }, nil
	case kind == "bolt" && rest == "":
		return nil, errors.New("no file named: bolt:PATH")
	case kind == "bolt":
		return func(context.Context) (store, error) { return opened(openBolt(rest, time.Now)) }, nil
	case kind == "redis", kind == "rediss":
		options, err := redisOptions(state)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context) (store, error) { return opened(openRedis(ctx, options)) }, nil
	}
	return nil, errors.New("want memory, bolt:PATH or redis://HOST/DB (rediss:// for TLS)")
}

// opened keeps a nil pointer from becoming a store that is not nil.
func opened[S store](s S, err error) (store, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

// redisOptions reads redis://[USER:PASSWORD@]HOST[:PORT]/DB.
func redisOptions(state string) (*redis.Options, error) {
	u, err := url.Parse(state)
	if err != nil {
		return nil, errors.New("not an address like redis://HOST:PORT/DB (in a password, write what is not a letter or digit as %XX)")
	}
	if u.Hostname() == "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return nil, errors.New("want redis://HOST/DB, redis://HOST:PORT/DB or redis://USER:PASSWORD@HOST/DB and nothing else")
	}
	port := u.Port()
	if port == "" {
		port = "6379"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil, errors.New("the port is not a number from 1 to 65535")
	}
	db, err := strconv.ParseUint(strings.TrimPrefix(u.Path, "/"), 10, 16)
	if err != nil {
		return nil, errors.New("want the number of a database at the end: redis://HOST/0")
	}
	password, _ := u.User.Password()
	if u.User != nil && password == "" {
		return nil, errors.New("a user without a password: redis://USER:PASSWORD@HOST/DB")
	}
	options := &redis.Options{
		Addr:     net.JoinHostPort(u.Hostname(), port),
		Username: u.User.Username(),
		Password: password,
		DB:       int(db),
	}
	if u.Scheme == "rediss" {
		options.TLSConfig = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	}
	return options, nil
}
