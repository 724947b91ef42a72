package unfinished

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/redis/go-redis/v9"
)

// lease is how long the lock of a Send outlives its replica.
const lease = 30 * time.Second

// A running Send has a lease: a key with a random name that expires unless it is
// renewed. For each record there is a table of the recipients that Sends have:
// the field is a recipient's hash, the value the key of the lease. Where that is
// gone, so is the lock. Leases are of one length, so that a table expires with
// the last in it.

// holdScript takes recipients for a lease, or keeps those that it has already: all
// of them, or none where another lease has one. The keys are the tables and the
// lease; the arguments its milliseconds and the hashes for each table. A lease
// that has expired is made anew. To extend one needs no memory, so that a full
// server does not end it.
var holdScript = redis.NewScript(`
local lease, life = KEYS[#KEYS], ARGV[1]
local function has(i, at)
	local hash = string.sub(ARGV[i + 1], at, at + 15)
	return redis.call('HGET', KEYS[i], hash), hash
end
for i = 1, #KEYS - 1 do
	for at = 1, #ARGV[i + 1], 16 do
		local holder = has(i, at)
		if holder and holder ~= lease and redis.call('EXISTS', holder) == 1 then return 0 end
	end
end
local extended = redis.call('EXISTS', lease) == 1
if extended then
	redis.call('PEXPIRE', lease, life)
else
	redis.call('SET', lease, '', 'PX', life)
end
for i = 1, #KEYS - 1 do
	for at = 1, #ARGV[i + 1], 16 do
		local holder, hash = has(i, at)
		if holder ~= lease then redis.call('HSET', KEYS[i], hash, lease) end
	end
	redis.call('PEXPIRE', KEYS[i], life)
end
return extended and 1 or 2`)

// What holdScript returns.
const (
	heldByAnother = iota
	heldOn
	heldAnew
)

// releaseScript gives up the recipients that a lease has, and the lease. Its keys
// and arguments are those of holdScript.
var releaseScript = redis.NewScript(`
local lease = KEYS[#KEYS]
for i = 1, #KEYS - 1 do
	for at = 1, #ARGV[i + 1], 16 do
		local hash = string.sub(ARGV[i + 1], at, at + 15)
		if redis.call('HGET', KEYS[i], hash) == lease then redis.call('HDEL', KEYS[i], hash) end
	end
end
redis.call('DEL', lease)
return 1`)

// A claim is what the scripts are called with, for one Send.
type claim struct {
	keys []string
	args []any
}

func (r *redisStore) newClaim(records []*record) claim {
	return claim{
		keys: append(keysOf("running:", records), prefix+"lease:"+rand.Text()),
		args: append([]any{r.lease.Milliseconds()}, ownOf(records)...),
	}
}

// lock takes the recipients, and keeps them until it is ended.
func (r *redisStore) lock(ctx context.Context, records []*record) (*lock, error) {
	c, asked := r.newClaim(records), time.Now()
	held, err := r.hold(ctx, c)
	if err != nil {
		return nil, err
	}
	if held == heldByAnother {
		return nil, ErrRunning
	}
	l := &lock{}
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.renew(renewing, l, c, asked)
	}()
	l.end = func(ctx context.Context) error {
		stop()
		<-done
		return r.within(ctx, func(ctx context.Context) error { return releaseScript.Run(ctx, r.client, c.keys, c.args...).Err() })
	}
	return l, nil
}

// hold returns what holdScript does.
func (r *redisStore) hold(ctx context.Context, c claim) (held int, err error) {
	err = r.within(ctx, func(ctx context.Context) (err error) {
		held, err = holdScript.Run(ctx, r.client, c.keys, c.args...).Int()
		return err
	})
	return held, err
}

// renew extends the lease, for which the server was last asked with success at
// asked, until ctx is done. What fails is tried again: the server may be back
// before the lease is over.
func (r *redisStore) renew(ctx context.Context, l *lock, c claim, asked time.Time) {
	tick := time.NewTicker(r.lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		held, err := r.hold(ctx, c)
		if err != nil {
			continue
		}
		if held != heldOn || now.Sub(asked) > r.lease { // it may have run out, and be one that a lost reply was about
			l.lapsed.Store(true)
		}
		asked = now
		if held == heldByAnother {
			l.lost.Store(true)
			return
		}
	}
}
