package unfinished

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	// apply makes changes, all of them or none, and durable. A record that is not
	// there is made where something is written, and expires after its life; one
	// that is left without recipients is deleted. Where recipients are due it
	// makes sure of the room that all later changes of this Send need, and is an
	// error where there is none. To have them served, or gone, needs no more.
	apply(ctx context.Context, changes []change) error
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

// Begin begins a send to recipients, or takes up an unfinished one. When it
// returns no error, all that have no copy stand in the store as due, and it has
// the room to note their copies. It returns ErrRunning where one of the same
// sender, Subject and content runs already for any of them, here or at another
// replica; ErrFull where there is no room.
func (s *Sends) Begin(ctx context.Context, m Message, recipients []string) (*Send, error) {
	secret, err := s.store.secret(ctx)
	if err != nil {
		return nil, err
	}
	send := &Send{store: s.store, records: m.records(secret, recipients), due: map[string]bool{}}
	if send.lock, err = s.store.lock(ctx, send.records); err != nil {
		return nil, err
	}
	if err := s.store.load(ctx, send.records); err != nil {
		send.lock.end(context.WithoutCancel(ctx)) // if that fails too, the lease runs out
		return nil, err
	}
	if err := send.intend(ctx, recipients); err != nil {
		send.Leave(ctx) // what it has written all the same is an intent, and harmless
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
	records []*record       // the one that lives longest first
	due     map[string]bool // recipients that have no copy
	ended   bool
}

// intend writes down who is to be served, before the first copy. Where nobody is,
// nothing will be sent that would have to be noted.
func (s *Send) intend(ctx context.Context, recipients []string) error {
	for _, to := range recipients {
		if s.Has(to) {
			// What only the content tells must not be forgotten with it in half
			// an hour, while the client goes on trying under this Message-ID.
			s.records[0].note(to)
		} else {
			s.due[to] = true
		}
	}
	if len(s.due) == 0 {
		return nil
	}
	changes := s.pending()
	for i := range changes {
		changes[i].due = s.dueIn(s.records[i])
	}
	return s.apply(ctx, changes)
}

// Has reports whether a recipient got a copy already. It does no I/O: what is
// known was loaded by Begin.
func (s *Send) Has(recipient string) bool {
	for _, r := range s.records {
		if r.known[r.hash(recipient)] {
			return true
		}
	}
	return false
}

// Accepted notes that a recipient got a copy. When it returns nil, that
// survives the process (bolt, redis). It needs no room in the store. On an error
// the Send keeps it and tries again with the next Accepted and at Leave; nothing
// more should be sent. With the last recipient the content is forgotten, and the send
// known by its Message-ID alone until Finish. It does its work even where ctx is done,
// since the copy is out, and takes a few seconds at most on a redis. An error that is ErrRunning
// says that all is noted, but that another replica runs the send now: it had not
// heard of this one for 30 s.
func (s *Send) Accepted(ctx context.Context, recipient string) error {
	delete(s.due, recipient)
	for _, r := range s.records {
		r.note(recipient)
	}
	changes := s.pending()
	if last := len(changes) - 1; last > 0 && len(s.due) == 0 && s.owned() == nil {
		// In the same step: were it left to Finish, and this process killed by then, or
		// the store away, the next message with this text would be swallowed.
		changes[last] = s.records[last].forgotten()
	}
	if err := s.apply(context.WithoutCancel(ctx), changes); err != nil {
		return err
	}
	return s.owned()
}

// pending is what the store is still to be told of, a change for each record.
func (s *Send) pending() (changes []change) {
	for _, r := range s.records {
		changes = append(changes, change{record: r, served: r.pending()})
	}
	return changes
}

// dueIn are the recipients that have no copy, as they stand in a record.
func (s *Send) dueIn(r *record) (hashes []hash) {
	for to := range s.due {
		hashes = append(hashes, r.hash(to))
	}
	return hashes
}

// apply makes changes that have all that is pending.
func (s *Send) apply(ctx context.Context, changes []change) error {
	changes = slices.DeleteFunc(changes, change.empty)
	if len(changes) == 0 {
		return nil
	}
	if err := s.store.apply(ctx, changes); err != nil {
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
		var changes []change
		for _, r := range s.records {
			changes = append(changes, r.forgotten())
		}
		return s.apply(ctx, changes)
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
		changes := s.pending()
		last := len(changes) - 1
		changes[last] = s.records[last].forgotten()
		return s.apply(ctx, changes)
	})
}

// Leave keeps what is known for the client's next try, and ends the Send. Who is
// still due is due no longer: the next try says for itself whom it is for. What
// the Send noted in a record that has expired since is written anew. An error
// says that some of it may be lost. After Finish it does nothing.
func (s *Send) Leave(ctx context.Context) error {
	return s.end(ctx, func(ctx context.Context) error {
		// Where another replica had the lock meanwhile, it has found what is stored.
		// If that is gone now, the send was finished there, and must not be
		// remembered again. Who is due may be so to that replica.
		if s.lock.lapsed.Load() {
			return s.apply(ctx, s.pending())
		}
		for _, r := range s.records {
			r.stored = 0
		}
		changes := s.pending()
		for i := range changes {
			changes[i].left = s.dueIn(s.records[i])
		}
		return s.apply(ctx, changes)
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
