// Package unfinished remembers who got a copy of a message that is sent in
// single copies, for as long as the send is unfinished: what went out already
// is not sent again when the client tries again, by this process or another.
//
// What holds:
//
//   - A send is known by its sender, Subject and content: for thirty minutes,
//     and for six days together with its Message-ID. A message that was edited
//     is another one, though mail clients may keep its Message-ID. Each has a
//     record of its own, made when the first copy is noted, and it expires so
//     long after that, whatever comes later: an alert that is sent again and
//     again with the same text is not swallowed for ever. Where one expires
//     while a Send runs, Leave makes it anew of what that Send has noted, and of
//     nothing older.
//   - A send may run in parts, each for some of the recipients: a mail server
//     splits one of 120 into three and sends them at the same time. The parts
//     share the records, and what ends one of them, well or not, changes
//     nothing that another has noted.
//   - No recipient is in two parts that run. Whoever begins with one that is in
//     another, here or at another replica, is told ErrRunning, until that part
//     ends or its replica has been dead for 30 s.
//   - What Accepted noted without an error survives the process, except in
//     the store that is memory alone.
//   - No address, Message-ID, subject or content is stored, only keyed hashes.
//     Those of recipients take in what the record is named after: whoever has
//     the whole store, its key included, cannot try addresses on it without
//     knowing the Message-ID or the content.
//   - Memory and file are bounded: past the bound nothing new begins, but what
//     is unfinished can be finished.
//
// record.go makes the names and hashes. The stores are memory.go, bolt.go and
// redis.go, and state.go finds the one that a configuration names; try.go tries
// whether it can be written to. running.go
// and lease.go keep parts from having the same recipient, within a process and
// among replicas.
package unfinished

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
)

var (
	// ErrRunning says that the same send runs already, here or elsewhere, for one
	// of the same recipients at least.
	ErrRunning = errors.New("the same send is running")
	// ErrFull says that the store has no room for another send.
	ErrFull = errors.New("no room for another unfinished send")
)

// A store keeps records and lets one Send at a time have a recipient of them.
// Its errors name the file or server, and no credentials.
type store interface {
	// secret returns the key of all hashes.
	secret(ctx context.Context) ([]byte, error)
	// lock takes the own recipients of all records for one Send, or none and
	// returns ErrRunning.
	lock(ctx context.Context, records []*record) (*lock, error)
	// load reads what is known into records. Where nothing is and there is no
	// room, it returns ErrFull.
	load(ctx context.Context, records []*record) error
	// add writes what is pending in records, all of it or nothing; some of it
	// may be there already. A record that is not there is made, and expires after
	// its life.
	add(ctx context.Context, records []*record) error
	// forget takes the own recipients out of records, all or none, and deletes
	// a record where no others are left.
	forget(ctx context.Context, records []*record) error
	close() error
}

// A lock is what a store's lock gives out.
type lock struct {
	end    func(context.Context) error
	lost   atomic.Bool // another replica has recipients of it now
	lapsed atomic.Bool // another replica may have had it for a while
}

// Sends is the memory of unfinished sends. Its methods may be called
// concurrently.
type Sends struct{ store store }

// Open opens the memory that a configuration names: "memory", "bolt:PATH" or
// "redis://[USER:PASSWORD@]HOST[:PORT]/DB" (rediss:// for TLS). It is an error
// when the file or server cannot be used now.
func Open(ctx context.Context, state string) (*Sends, error) {
	open, err := parse(state)
	if err != nil {
		return nil, err
	}
	st, err := open(ctx)
	if err != nil {
		return nil, err
	}
	return &Sends{st}, nil
}

// Check reports whether state is well formed, without opening it. The error
// does not repeat it, since it may hold a password.
func Check(state string) error {
	_, err := parse(state)
	return err
}

// Close closes the memory. Every Send must have ended.
func (s *Sends) Close() error { return s.store.close() }

// Begin begins a send to recipients, or takes up an unfinished one. It returns
// ErrRunning where one of the same sender, Subject and content runs already for
// any of them, here or at another replica; ErrFull where there is no room.
func (s *Sends) Begin(ctx context.Context, m Message, recipients []string) (*Send, error) {
	secret, err := s.store.secret(ctx)
	if err != nil {
		return nil, err
	}
	send := &Send{store: s.store, records: m.records(secret, recipients)}
	if send.lock, err = s.store.lock(ctx, send.records); err != nil {
		return nil, err
	}
	if err := s.store.load(ctx, send.records); err != nil {
		send.lock.end(context.WithoutCancel(ctx)) // if that fails too, the lease runs out
		return nil, err
	}
	return send, nil
}

// A Send is one message on its way to the recipients that Begin was given; it
// must not be told of others. It is for one goroutine at a time. Recipients are
// the same when their bytes are.
type Send struct {
	store   store
	lock    *lock
	records []*record // the one that lives longest first
	ended   bool
}

// Has reports whether a recipient got a copy already. It does no I/O: what is
// known was loaded by Begin.
func (s *Send) Has(recipient string) bool {
	for _, r := range s.records {
		if r.known[r.hash(recipient)] {
			// What only the content tells must not be forgotten with it in half
			// an hour, while the client goes on trying under this Message-ID.
			s.records[0].note(recipient)
			return true
		}
	}
	return false
}

// Accepted notes that a recipient got a copy. When it returns nil, that
// survives the process (bolt, redis). On an error the Send keeps it and tries
// again with the next Accepted and at Leave. It does its work even where ctx is
// done, since the copy is out, and takes a few seconds at most on a redis. An
// error that is ErrRunning says that all is noted, but that another replica
// runs the send now: it had not heard of this one for 30 s.
func (s *Send) Accepted(ctx context.Context, recipient string) error {
	for _, r := range s.records {
		r.note(recipient)
	}
	if err := s.write(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	return s.owned()
}

// write stores what is pending.
func (s *Send) write(ctx context.Context) error {
	if err := s.store.add(ctx, s.records); err != nil {
		return err
	}
	for _, r := range s.records {
		r.stored = len(r.noted)
	}
	return nil
}

// owned is an error where another replica has taken recipients over.
func (s *Send) owned() error {
	if s.lock.lost.Load() {
		return fmt.Errorf("taken over by another replica: %w", ErrRunning)
	}
	return nil
}

// Finish forgets the Send's recipients: each of them has a copy. What is known
// of others stays. It ends the Send, also when it returns an error: then they
// are remembered until the records expire. Where another replica runs the send
// now, they are left to it.
func (s *Send) Finish(ctx context.Context) error {
	return s.end(ctx, func(ctx context.Context) error {
		if err := s.owned(); err != nil {
			return err
		}
		return s.store.forget(ctx, s.records)
	})
}

// FinishUnheard is Finish where the client may not have heard of it, and may
// try again: what is known stays, under the Message-ID. Another message with the
// same content is a new one.
func (s *Send) FinishUnheard(ctx context.Context) error {
	return s.end(ctx, func(ctx context.Context) error {
		if err := s.owned(); err != nil {
			return err
		}
		last := len(s.records) - 1
		return errors.Join(s.write(ctx), s.store.forget(ctx, s.records[last:]))
	})
}

// Leave keeps what is known for the client's next try, and ends the Send. What
// the Send noted in a record that has expired since is written anew. An error
// says that some of it may be lost. After Finish it does nothing.
func (s *Send) Leave(ctx context.Context) error {
	return s.end(ctx, func(ctx context.Context) error {
		// Where another replica had the lock meanwhile, it has found what is stored.
		// If that is gone now, the send was finished there, and must not be
		// remembered again.
		if !s.lock.lapsed.Load() {
			for _, r := range s.records {
				r.stored = 0
			}
		}
		return s.write(ctx)
	})
}

// end does what is last to be done, then unlocks: the next to begin must find it.
func (s *Send) end(ctx context.Context, last func(context.Context) error) error {
	if s.ended {
		return nil
	}
	s.ended = true
	ctx = context.WithoutCancel(ctx)
	return errors.Join(last(ctx), s.lock.end(ctx))
}
