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
	retryPause   = 200 * time.Millisecond
)

// applyScript makes changes to sets, one for each key. A recipient that was ever
// due is in its set as "i" and hash, and as "d" and hash for as long as it is due:
// so a copy is noted by a removal, which a server at its maxmemory takes, as it
// takes nothing that adds, and what is lost of a set never reads as a copy. The
// two are written and deleted by one command, since they are two members of one
// key. A hash alone has a copy: it is of an earlier version, which takes what it
// finds in another form for nothing at all.
//
// Each key has five arguments: its life in milliseconds, which counts from its
// creation only, and the hashes of a change.
var applyScript = redis.NewScript(`
local function each(hashes, act)
	for at = 1, #hashes, 16 do act(string.sub(hashes, at, at + 15)) end
end
for i, key in ipairs(KEYS) do
	local function has(member) return redis.call('SISMEMBER', key, member) == 1 end
	local life, due, served, left, gone = unpack(ARGV, 5 * i - 4, 5 * i)
	each(gone, function(h) redis.call('SREM', key, h, 'i' .. h, 'd' .. h) end)
	each(left, function(h)
		if has('d' .. h) then redis.call('SREM', key, 'i' .. h, 'd' .. h) end
	end)
	each(served, function(h)
		if redis.call('SREM', key, 'd' .. h) == 0 and not has('i' .. h) and not has(h) then
			redis.call('SADD', key, 'i' .. h)
		end
	end)
	each(due, function(h)
		if not has(h) and (has('d' .. h) or not has('i' .. h)) then
			redis.call('SADD', key, 'i' .. h, 'd' .. h)
		end
	end)
	-- Whoever may not remove is told so before a copy is out, and not by its note.
	if due ~= '' then redis.call('SREM', key, '') end
	if redis.call('PTTL', key) == -1 then redis.call('PEXPIRE', key, life) end
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
	// A server that is started anew is back before a copy would go unnoted.
	options.MinRetryBackoff, options.MaxRetryBackoff = retryPause, retryPause
	options.MaxRetries = int(redisTimeout/retryPause) * 3 / 4 // then the error says more than that time is up
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
			records[i].know(membersOf(set.Val()))
		}
		return nil
	})
}

// membersOf reads a set of applyScript.
func membersOf(set []string) (all []member) {
	due := map[string]bool{}
	for _, m := range set {
		if h, ok := strings.CutPrefix(m, "d"); ok && len(h) == len(hash{}) {
			due[h] = true
		}
	}
	for _, m := range set {
		if len(m) == len(hash{}) {
			all = append(all, member{hash: hash([]byte(m))})
		} else if h, ok := strings.CutPrefix(m, "i"); ok && len(h) == len(hash{}) {
			all = append(all, member{hash: hash([]byte(h)), due: due[h]})
		}
	}
	return all
}

// apply must not be a transaction of MULTI and EXEC: a full server refuses to
// queue commands.
func (r *redisStore) apply(ctx context.Context, changes []change) error {
	var records []*record
	var args []any
	for _, c := range changes {
		records = append(records, c.record)
		args = append(args, c.life.Milliseconds())
		for _, hashes := range [][]hash{c.due, c.served, c.left, c.gone} {
			args = append(args, joined(slices.Values(hashes)))
		}
	}
	return r.within(ctx, func(ctx context.Context) error {
		return applyScript.Run(ctx, r.client, keysOf("sent:", records), args...).Err()
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
