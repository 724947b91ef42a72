package unfinished

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// A redisStore is the store that several replicas share. Under prefix it has
// the secret, for each record a set of hashes, and what lease.go puts there.
type redisStore struct {
	client  *redis.Client
	options *redis.Options
	lease   time.Duration // of a lock

	mu  sync.Mutex
	key []byte // the secret as it was last
}

const (
	prefix = "sendguard:unfinished:"
	// redisTimeout bounds each operation, retries included.
	redisTimeout = 3 * time.Second
)

// addScript puts hashes into sets. For each of them there are two arguments: its life
// in milliseconds, which counts from its creation only, and the hashes.
var addScript = redis.NewScript(`
for i, key in ipairs(KEYS) do
	local new = redis.call('EXISTS', key) == 0
	local hashes = ARGV[2 * i]
	for at = 1, #hashes, 16 do
		redis.call('SADD', key, string.sub(hashes, at, at + 15))
	end
	if new then redis.call('PEXPIRE', key, ARGV[2 * i - 1]) end
end
return 1`)

// forgetScript takes hashes out of sets, one argument for each. A set that is
// empty then is gone.
var forgetScript = redis.NewScript(`
for i, key in ipairs(KEYS) do
	for at = 1, #ARGV[i], 16 do
		redis.call('SREM', key, string.sub(ARGV[i], at, at + 15))
	end
end
return 1`)

// openRedis connects, so that what is wrong is known now.
func openRedis(ctx context.Context, options *redis.Options) (*redisStore, error) {
	r := newRedisStore(options)
	if _, err := r.secret(ctx); err != nil {
		return nil, errors.Join(err, r.client.Close())
	}
	return r, nil
}

func newRedisStore(options *redis.Options) *redisStore {
	redis.SetLogger(quiet{})
	options.DialTimeout, options.ReadTimeout, options.WriteTimeout = redisTimeout, redisTimeout, redisTimeout
	options.ContextTimeoutEnabled = true
	options.DialerRetries = 1 // the commands are tried again
	options.DisableIdentity = true
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return &redisStore{client: redis.NewClient(options), options: options, lease: lease, key: newSecret()}
}

// quiet drops what the client library would write to standard error: it comes
// as an error too.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// secret asks each time, so that replicas agree on it also after the server has
// lost its data: the first to find it gone gives it back the one that it had.
func (r *redisStore) secret(ctx context.Context) (secret []byte, err error) {
	r.mu.Lock()
	own := r.key
	r.mu.Unlock()
	err = r.within(ctx, func(ctx context.Context) (err error) {
		secret, err = r.client.Get(ctx, prefix+"secret").Bytes()
		if !errors.Is(err, redis.Nil) {
			return err
		}
		if err := r.client.SetNX(ctx, prefix+"secret", own, 0).Err(); err != nil {
			return err
		}
		secret, err = r.client.Get(ctx, prefix+"secret").Bytes() // of whoever was first
		return err
	})
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.key = secret
	r.mu.Unlock()
	return secret, nil
}

func (r *redisStore) load(ctx context.Context, records []*record) error {
	return r.within(ctx, func(ctx context.Context) error {
		p := r.client.Pipeline()
		var sets []*redis.StringSliceCmd
		for _, key := range keysOf("sent:", records) {
			sets = append(sets, p.SMembers(ctx, key))
		}
		if _, err := p.Exec(ctx); err != nil {
			return err
		}
		for i, set := range sets {
			for _, member := range set.Val() {
				if len(member) == len(hash{}) {
					records[i].know([]hash{hash([]byte(member))})
				}
			}
		}
		return nil
	})
}

func (r *redisStore) add(ctx context.Context, records []*record) error {
	var pending []*record
	var args []any
	for _, rec := range records {
		if len(rec.pending()) > 0 {
			pending = append(pending, rec)
			args = append(args, rec.life.Milliseconds(), joined(slices.Values(rec.pending())))
		}
	}
	if pending == nil {
		return nil
	}
	return r.within(ctx, func(ctx context.Context) error {
		return addScript.Run(ctx, r.client, keysOf("sent:", pending), args...).Err()
	})
}

func (r *redisStore) forget(ctx context.Context, records []*record) error {
	return r.within(ctx, func(ctx context.Context) error {
		return forgetScript.Run(ctx, r.client, keysOf("sent:", records), ownOf(records)...).Err()
	})
}

// ownOf are the own recipients of each record, as the scripts take them.
func ownOf(records []*record) (args []any) {
	for _, rec := range records {
		args = append(args, joined(maps.Keys(rec.own)))
	}
	return args
}

// joined is one argument of a script, however many hashes there are: Lua cannot
// have many thousands of arguments.
func joined(hashes iter.Seq[hash]) []byte {
	all := []byte{}
	for h := range hashes {
		all = append(all, h[:]...)
	}
	return all
}

func (r *redisStore) close() error { return r.client.Close() }

func keysOf(kind string, records []*record) []string {
	var keys []string
	for _, rec := range records {
		keys = append(keys, prefix+kind+hex.EncodeToString(rec.name[:]))
	}
	return keys
}

// within bounds an operation and makes its error one that may be logged.
func (r *redisStore) within(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	err := do(ctx)
	var timeout net.Error
	switch {
	case err == nil:
		return nil
	case redis.IsOOMError(err):
		return fmt.Errorf("redis at %s: %w", r.options.Addr, ErrFull)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("redis at %s: no answer within %v", r.options.Addr, redisTimeout)
	}
	return fmt.Errorf("redis at %s: %s", r.options.Addr, r.plain(err.Error()))
}

// plain takes credentials out of the words of a server: it may repeat the
// arguments of a command, or name the user.
func (r *redisStore) plain(words string) string {
	words, _, _ = strings.Cut(words, ", with args")
	for _, secret := range []string{r.options.Password, r.options.Username} {
		if secret != "" {
			words = strings.ReplaceAll(words, secret, "***")
		}
	}
	return words
}
