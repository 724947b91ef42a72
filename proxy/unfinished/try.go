package unfinished

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Try reports whether a state can be written to, without a change there: a file
// that another process has open is good, a server is asked to. The error names no
// credentials.
func Try(ctx context.Context, state string) error {
	if err := Check(state); err != nil {
		return err
	}
	kind, path, _ := strings.Cut(state, ":")
	switch kind {
	case "memory":
		return nil
	case "bolt":
		return tryFile(path)
	}
	options, err := redisOptions(state)
	if err != nil {
		return err
	}
	return tryRedis(ctx, options)
}

// tryFile looks at the rights on the file or, where there is none yet, on the
// folder that it would be made in.
func tryFile(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return MayWrite(filepath.Dir(path))
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no file", path)
	}
	return MayWrite(path)
}

// tryRedis has a server refuse what it would refuse of a running Send: it is to
// replace a value that is not there, which needs the same rights and the same room,
// and does nothing.
func tryRedis(ctx context.Context, options *redis.Options) error {
	r := newRedisStore(options)
	defer r.client.Close()
	return r.within(ctx, func(ctx context.Context) error {
		_, err := r.client.SetXX(ctx, prefix+"try:"+rand.Text(), "", time.Minute).Result()
		return err
	})
}
