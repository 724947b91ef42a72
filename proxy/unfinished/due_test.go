package unfinished

import (
	"context"
	"errors"
	"testing"
)

// abandoned is a Send whose process is killed: nothing ends it but its lease.
func (b *bench) abandoned(m Message, recipients []string, accepted ...string) {
	b.t.Helper()
	s := b.begin(m, recipients...)
	accept(b.t, s, accepted...)
	if err := s.lock.end(context.Background()); err != nil {
		b.t.Fatal(err)
	}
}

func TestAnIntentIsNeverTakenForACopy(t *testing.T) {
	onAllStores(t, func(t *testing.T, b *bench) {
		b.abandoned(news, everybody)
		equal(t, "killed before the first copy", b.has(news, everybody...), "")
		b.abandoned(news, everybody, everybody[0])
		b.abandoned(again, everybody[:2])
		for range 2 {
			for what, m := range map[string]Message{"the same message": news, "a new Message-ID": again} {
				equal(t, what, b.has(m, everybody...), everybody[0])
			}
		}
		b.checkSize()
	})
}

// A mail server groups anew who is left: some were in a part that was killed,
// some in one that ended, some in none.
func TestPartsMayBeGroupedAnewAfterAKill(t *testing.T) {
	onAllStores(t, func(t *testing.T, b *bench) {
		all := numbered(120)
		b.abandoned(news, all[:50], all[:10]...)
		b.try(news, all[50:60]...)
		second := b.begin(again, all[5:55]...)
		for i, r := range all[5:55] {
			equal(t, r, second.Has(r), i < 5 || i >= 45)
		}
		accept(t, second, all[10:20]...)
		third := b.begin(news, all[60:]...)
		equal(t, "known to the third", known(third, all[60:]...), "")
		accept(t, third, all[60:]...)
		leave(t, second)
		finish(t, third)
		b.checkSize()
		s := b.begin(news, all...)
		for i, r := range all {
			equal(t, r, s.Has(r), i < 20 || i >= 50 && i < 60)
		}
		leave(t, s)
	})
}

// Both records expire as a whole, by the clock of the first intent.
func TestWhoIsDueExpiresWithWhoHasACopy(t *testing.T) {
	onAllStores(t, func(t *testing.T, b *bench) {
		b.abandoned(news, everybody, everybody[0])
		b.advance(contentLife)
		equal(t, "records", b.records(), 1)
		equal(t, "by content", b.has(again, everybody...), "")
		equal(t, "by Message-ID", b.has(news, everybody...), everybody[0])
		b.abandoned(news, everybody, everybody[1])
		b.advance(idLife - contentLife)
		equal(t, "by Message-ID, six days after the first", b.has(news, everybody...), "")
	})
}

// A failing store is one that works, and fails when it is told to.
type failing struct {
	store
	err error
}

func (f *failing) apply(ctx context.Context, changes []change) error {
	if f.err != nil {
		return f.err
	}
	return f.store.apply(ctx, changes)
}

func TestNothingBeginsThatCouldNotBeWrittenDown(t *testing.T) {
	onAllStores(t, func(t *testing.T, b *bench) {
		bad := errors.New("an error of the disk")
		f := &failing{b.sends.store, bad}
		for range 2 {
			mayNotBegin(t, &Sends{f}, bad, news, everybody...)
		}
		// Whoever is due already is written down again: a store that cannot write
		// would be found out by the note otherwise, after the copy.
		f.err = nil
		b.abandoned(news, everybody)
		f.err = bad
		mayNotBegin(t, &Sends{f}, bad, news, everybody...)
		leave(t, b.begin(news)) // nothing is locked
		equal(t, "records", b.records(), 0)
	})
}

func TestANoteThatFailsIsMadeAtTheEnd(t *testing.T) {
	onAllStores(t, func(t *testing.T, b *bench) {
		f := &failing{b.sends.store, nil}
		bad := errors.New("an error of the disk")
		for what, ends := range map[string]struct {
			end  func(*Send, context.Context) error
			want string
		}{"left": {(*Send).Leave, "a@x.example b@x.example"}, "finished unheard": {(*Send).FinishUnheard, "a@x.example b@x.example"}, "finished": {(*Send).Finish, ""}} {
			s := begin(t, &Sends{f}, news)
			accept(t, s, everybody[0])
			f.err = bad
			if err := s.Accepted(t.Context(), everybody[1]); !errors.Is(err, bad) {
				t.Errorf("got %v", err)
			}
			f.err = nil
			if err := ends.end(s, t.Context()); err != nil {
				t.Error(err)
			}
			equal(t, "known of what was "+what, b.has(news, everybody...), ends.want)
			finish(t, b.begin(news))
		}
	})
}
