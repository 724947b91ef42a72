package unfinished

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A mail server splits a message to 120 recipients into parts of 50, 50 and 20,
// and sends them at the same time. One ends well, one breaks off, one is slow.
func TestEachPartOfASendIsTriedAgainForWhatItLacks(t *testing.T) {
	onAllStores(t, func(t *testing.T, b *bench) {
		all := numbered(120)
		parts := [][]string{all[:50], all[50:100], all[100:]}
		var running []*Send
		for _, part := range parts {
			running = append(running, b.begin(news, part...))
		}
		accept(t, running[2], parts[2][:5]...)
		accept(t, running[1], parts[1][:30]...)
		accept(t, running[0], parts[0]...)
		finish(t, running[0])
		leave(t, running[1])
		b.checkSize()

		second := b.begin(again, parts[1]...)
		equal(t, "known to the second part", known(second, parts[1]...), strings.Join(parts[1][:30], " "))
		accept(t, second, parts[1][30:]...)
		finish(t, second)
		accept(t, running[2], parts[2][5:10]...)
		leave(t, running[2])
		b.checkSize()

		third := b.begin(news, parts[2]...)
		equal(t, "known to the third part", known(third, parts[2]...), strings.Join(parts[2][:10], " "))
		equal(t, "known to the first part, which is finished", b.has(news, parts[0]...), "")
		accept(t, third, parts[2][10:]...)
		finish(t, third)
		b.checkSize()
		// The second part's first try is left under its own Message-ID.
		equal(t, "records", b.records(), 1)
	})
}

func TestAFinishedPartDoesNotForgetAnother(t *testing.T) {
	onAllStores(t, func(t *testing.T, b *bench) {
		b.try(news, everybody[0])
		for range 2 {
			s := b.begin(news, everybody[1:]...)
			equal(t, "known to the other part", known(s, everybody[1:]...), "")
			accept(t, s, everybody[1:]...)
			finish(t, s)
			b.checkSize()
		}
		for what, m := range map[string]Message{"the same message": news, "a new Message-ID": again} {
			equal(t, what, b.has(m, everybody...), everybody[0])
		}
		s := b.begin(news, everybody[0])
		finish(t, s)
		b.checkSize()
	})
}

// The record began with the first part's first copy, whatever other parts do.
func TestPartsDoNotProlong(t *testing.T) {
	onAllStores(t, func(t *testing.T, b *bench) {
		one := b.begin(news, everybody[0], "d@x.example")
		accept(t, one, everybody[0])
		b.advance(20 * time.Minute)
		two := b.begin(news, everybody[1:]...)
		accept(t, two, everybody[1:]...)
		finish(t, two)
		leave(t, one)
		b.advance(9 * time.Minute)
		equal(t, "after 29 minutes", b.has(Message{"work", news.Sender, "", "News", news.Content}, everybody...), everybody[0])
		b.advance(2 * time.Minute)
		equal(t, "after 31 minutes", b.has(again, everybody...), "")
	})
}

// One part's copy makes the new record, the other's were noted in the old one.
func TestWhatAllPartsNotedOutlivesARecordThatExpires(t *testing.T) {
	onAllStores(t, func(t *testing.T, b *bench) {
		one, two := b.begin(news, everybody[:2]...), b.begin(news, everybody[2])
		accept(t, one, everybody[0])
		b.advance(contentLife + time.Minute)
		accept(t, two, everybody[2])
		accept(t, one, everybody[1])
		b.checkSize()
		for _, s := range []*Send{one, two} {
			leave(t, s)
			b.checkSize()
		}
		equal(t, "by content", b.has(again, everybody...), strings.Join(everybody, " "))
	})
}

func TestPartsWithARecipientInCommonDoNotRunAtOnce(t *testing.T) {
	onAllStores(t, func(t *testing.T, b *bench) {
		s := b.begin(news, everybody[:2]...)
		for _, m := range []Message{news, again} {
			mayNotBegin(t, b.sends, ErrRunning, m, everybody[1:]...)
			mayNotBegin(t, b.sends, ErrRunning, m, everybody[1])
			// What could not begin has locked nothing of the rest.
			leave(t, b.begin(m, everybody[2]))
		}
		// Recipients are compared byte for byte.
		leave(t, b.begin(news, strings.ToUpper(everybody[0])))
		rest := b.begin(news, everybody[2])
		leave(t, s)
		mayNotBegin(t, b.sends, ErrRunning, again, everybody...)
		leave(t, rest)
		leave(t, b.begin(again, everybody...))
	})
}

func TestManyPartsRunAtOnce(t *testing.T) {
	onAllStores(t, func(t *testing.T, b *bench) {
		parts := slices.Collect(slices.Chunk(numbered(40), 5))
		var wg sync.WaitGroup
		for i, part := range parts {
			wg.Go(func() {
				s, err := b.sends.Begin(t.Context(), news, part)
				if err != nil {
					t.Error(err)
					return
				}
				end, n := s.Leave, 3
				if i%2 == 0 {
					end, n = s.Finish, 5
				}
				for _, r := range part[:n] {
					if err := s.Accepted(t.Context(), r); err != nil {
						t.Error(err)
					}
				}
				if err := end(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		b.checkSize()
		for i, part := range parts {
			want := ""
			if i%2 == 1 {
				want = strings.Join(part[:3], " ")
			}
			equal(t, "known", b.has(news, part...), want)
		}
	})
}

// Whoever begins at once with overlapping parts: no recipient is in two of them.
func TestOfOverlappingPartsThatBeginAtOnceNoTwoRun(t *testing.T) {
	onAllStores(t, func(t *testing.T, b *bench) {
		list := numbered(9)
		for range 10 {
			var wg sync.WaitGroup
			won := make(chan []string, 5)
			ended := make(chan struct{})
			for i := range 5 {
				part := list[2*i-min(i, 1) : min(2*i+2, 9)] // each shares one with the next
				wg.Go(func() {
					s, err := b.sends.Begin(t.Context(), news, part)
					if err == nil {
						won <- part
						<-ended
						err = s.Leave(t.Context())
					} else {
						won <- nil
					}
					if err != nil && !errors.Is(err, ErrRunning) {
						t.Error(err)
					}
				})
			}
			seen := map[string]bool{}
			for range 5 {
				for _, r := range <-won {
					if seen[r] {
						t.Errorf("%s is in two parts", r)
					}
					seen[r] = true
				}
			}
			close(ended)
			wg.Wait()
			if len(seen) == 0 {
				t.Error("no part has begun")
			}
		}
	})
}
