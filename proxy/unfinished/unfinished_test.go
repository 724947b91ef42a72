package unfinished

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// news is the message that most tests send.
var news = Message{Route: "work", Sender: "me@home.example", ID: "<1@home.example>", Subject: "News", Content: [32]byte{1}}

// again is the same message as a client sends it that makes a new Message-ID.
var again = Message{Route: "work", Sender: "me@home.example", ID: "<2@home.example>", Subject: "News", Content: [32]byte{1}}

// edited has the same Message-ID as news, and other content: another message.
var edited = Message{Route: "work", Sender: "me@home.example", ID: "<1@home.example>", Subject: "News!", Content: [32]byte{2}}

var everybody = []string{"a@x.example", "b@x.example", "c@x.example"}

func TestWhoHasACopyIsKnownAtTheNextTry(t *testing.T) {
	onAllStores(t, func(t *testing.T, b *bench) {
		b.try(news, everybody[:2]...)
		for what, m := range map[string]Message{"the same message": news, "a new Message-ID": again} {
			equal(t, what, b.has(m, everybody...), "a@x.example b@x.example")
		}
		equal(t, "other content", b.has(edited, everybody...), "")
		b.try(news, everybody[2])
		equal(t, "after the second try", b.has(news, everybody...), "a@x.example b@x.example c@x.example")
	})
}

func TestWhatIsAcceptedIsKnownAtOnce(t *testing.T) {
	onAllStores(t, func(t *testing.T, b *bench) {
		s := b.begin(news)
		defer leave(t, s)
		accept(t, s, everybody[0], everybody[0])
		equal(t, "known", known(s, everybody...), everybody[0])
	})
}

func TestAnotherMessageIsNotTaken(t *testing.T) {
	onAllStores(t, func(t *testing.T, b *bench) {
		b.try(news, everybody...)
		for what, change := range map[string]func(*Message){
			"route":   func(m *Message) { m.Route = "home" },
			"sender":  func(m *Message) { m.Sender = "you@home.example" },
			"subject": func(m *Message) { m.Subject = "Old news"; m.ID = "<3@home.example>" },
			"content": func(m *Message) { m.Content[31] = 1; m.ID = "<3@home.example>" },
			// A border between two fields must not be anywhere else.
			"border": func(m *Message) { m.Route, m.Sender = "wor", "kme@home.example" },
		} {
			m := news
			change(&m)
			equal(t, "another "+what, b.has(m, everybody...), "")
		}
	})
}

func TestFieldsThatReadAlikeWhenJoinedHaveDifferentNames(t *testing.T) {
	seen := map[name][]string{}
	for _, fields := range [][]string{
		{"a", "b"}, {"ab"}, {"ab", ""}, {"", "ab"}, {"a\x01b"}, {"a", "b", ""},
		{"a\x00b", "c"}, {"a", "b\x00c"}, {"a\x00", "b\x00c"}, {"a", "b", "c"},
	} {
		n := newRecord(nil, 0, fields...).name
		if other, ok := seen[n]; ok {
			t.Errorf("%q and %q have one name", fields, other)
		}
		seen[n] = fields
	}
}

func TestWithoutAMessageIDTheContentTells(t *testing.T) {
	onAllStores(t, func(t *testing.T, b *bench) {
		m, other := news, news
		m.ID, other.ID, other.Subject = "", "", "Old news"
		b.try(m, everybody[0])
		equal(t, "records", b.records(), 1)
		equal(t, "the same content", b.has(m, everybody...), everybody[0])
		equal(t, "other content without a Message-ID", b.has(other, everybody...), "")
		b.advance(contentLife + time.Second)
		equal(t, "half an hour later", b.has(m, everybody...), "")
	})
}

func TestASendIsRememberedForSixDaysByIDAndHalfAnHourByContent(t *testing.T) {
	onAllStores(t, func(t *testing.T, b *bench) {
		b.try(news, everybody[0])
		b.advance(contentLife - time.Minute)
		equal(t, "content after 29 minutes", b.has(Message{"work", news.Sender, "", "News", news.Content}, everybody...), everybody[0])
		b.advance(2 * time.Minute)
		equal(t, "content after 31 minutes", b.has(again, everybody...), "")
		equal(t, "ID after 31 minutes", b.has(news, everybody...), everybody[0])
		b.advance(idLife - time.Hour)
		equal(t, "ID after almost six days", b.has(news, everybody...), everybody[0])
		b.advance(time.Hour)
		equal(t, "ID after six days", b.has(news, everybody...), "")
		equal(t, "records", b.records(), 0)
	})
}

func TestLaterTriesDoNotProlong(t *testing.T) {
	onAllStores(t, func(t *testing.T, b *bench) {
		b.try(news, everybody[0])
		b.advance(20 * time.Minute)
		b.try(again, everybody[1])
		b.advance(11 * time.Minute)
		m := again
		m.ID = "<3@home.example>"
		equal(t, "by content, 31 minutes after the first try", b.has(m, everybody...), "")
	})
}

// An alert with the same text every hour, of which one recipient always fails,
// so that its send is never finished.
func TestAnHourlyAlertIsNeverSwallowed(t *testing.T) {
	onAllStores(t, func(t *testing.T, b *bench) {
		for hour := range 30 {
			alert := news
			alert.ID = fmt.Sprintf("<%d@home.example>", hour)
			s := b.begin(alert)
			equal(t, fmt.Sprintf("swallowed in hour %d", hour), known(s, everybody...), "")
			accept(t, s, everybody[:2]...)
			leave(t, s)
			b.advance(time.Hour)
		}
	})
}

// What no copy was sent of leaves nothing, and does not count.
func TestARecordBeginsWithTheFirstSendThatHasACopy(t *testing.T) {
	onAllStores(t, func(t *testing.T, b *bench) {
		leave(t, b.begin(news))
		equal(t, "records of a send without a copy", b.records(), 0)
		b.advance(20 * time.Minute)
		s := b.begin(news)
		equal(t, "records of a send that has begun", b.records(), 2)
		accept(t, s, everybody[0])
		equal(t, "records after a copy", b.records(), 2)
		leave(t, s)
		b.advance(20 * time.Minute)
		equal(t, "20 minutes after the copy", b.has(again, everybody...), everybody[0])
	})
}

// The second try, under a new Message-ID, learns from the content who has a
// copy. The third, under the same one, may come when the content is forgotten.
func TestWhatTheContentToldIsRememberedUnderTheNewID(t *testing.T) {
	onAllStores(t, func(t *testing.T, b *bench) {
		b.try(news, everybody[:2]...)
		b.advance(20 * time.Minute)
		equal(t, "second try", b.has(again, everybody...), "a@x.example b@x.example")
		b.advance(20 * time.Minute)
		equal(t, "third try", b.has(again, everybody...), "a@x.example b@x.example")
	})
}

// The content expires while a send runs that has learned from it: what this one
// sends, before that or after it, begins a new half hour, and the old one is not
// mixed in.
func TestARecordThatExpiresDuringASendIsMadeAnew(t *testing.T) {
	for what, after := range map[string][]string{"and more is accepted": {everybody[2]}, "and no more is accepted": nil} {
		t.Run(what, func(t *testing.T) {
			onAllStores(t, func(t *testing.T, b *bench) {
				b.try(news, everybody[0])
				b.advance(contentLife - time.Minute)
				s := b.begin(news)
				accept(t, s, everybody[1])
				b.advance(2 * time.Minute)
				accept(t, s, after...)
				b.checkSize()
				leave(t, s)
				b.checkSize()
				want := strings.Join(append([]string{everybody[1]}, after...), " ")
				b.advance(contentLife - time.Minute)
				equal(t, "by content", b.has(again, everybody...), want)
			})
		})
	}
}

// The process is killed, or the store is away, when all have a copy and before the
// send is forgotten. The client has heard of it, or tries again under the same
// Message-ID; the next message with this text is another one.
func TestASendThatWasNeverFinishedDoesNotSwallowTheNextWithItsText(t *testing.T) {
	onAllStores(t, func(t *testing.T, b *bench) {
		b.try(news, everybody[0])
		s := b.begin(news)
		accept(t, s, everybody[1:]...)
		s.ended = true
		if err := s.lock.end(t.Context()); err != nil { // as after 30 s
			t.Fatal(err)
		}
		equal(t, "the next message", b.has(again, everybody...), "")
		equal(t, "the same message", b.has(news, everybody...), strings.Join(everybody, " "))
		b.checkSize()
	})
}

func TestAFinishedSendIsForgotten(t *testing.T) {
	onAllStores(t, func(t *testing.T, b *bench) {
		b.try(news, everybody[0])
		s := b.begin(news)
		accept(t, s, everybody[1:]...)
		finish(t, s)
		leave(t, s) // after Finish it does nothing
		equal(t, "records", b.records(), 0)
		for _, m := range []Message{news, again, edited} {
			equal(t, "known", b.has(m, everybody...), "")
		}
	})
}

func TestAFinishedSendThatNobodyHeardOfIsKnownByItsMessageIDOnly(t *testing.T) {
	onAllStores(t, func(t *testing.T, b *bench) {
		s := b.begin(news)
		accept(t, s, everybody...)
		if err := s.FinishUnheard(t.Context()); err != nil {
			t.Fatal(err)
		}
		equal(t, "the same message", b.has(news, everybody...), strings.Join(everybody, " "))
		equal(t, "a new Message-ID", b.has(again, everybody...), "")
		b.checkSize()
		nameless := news
		nameless.ID = ""
		s = b.begin(nameless)
		accept(t, s, everybody...)
		if err := s.FinishUnheard(t.Context()); err != nil {
			t.Fatal(err)
		}
		equal(t, "no Message-ID", b.has(nameless, everybody...), "")
		b.checkSize()
	})
}

func TestASendThatRunsIsNotBegunTwice(t *testing.T) {
	onAllStores(t, func(t *testing.T, b *bench) {
		s := b.begin(news)
		for _, m := range []Message{news, again} {
			mayNotBegin(t, b.sends, ErrRunning, m, everybody...)
		}
		leave(t, b.begin(edited))
		// What could not begin has locked nothing: its other name is free.
		other := again
		other.Content = [32]byte{7}
		leave(t, b.begin(other))
		leave(t, s)
		s = b.begin(again)
		finish(t, s)
		leave(t, b.begin(news))
	})
}

func TestOfTwoThatBeginAtOnceOneWins(t *testing.T) {
	onAllStores(t, func(t *testing.T, b *bench) {
		for round := range 20 {
			var wg sync.WaitGroup
			won := make(chan *Send, 2)
			for _, m := range []Message{news, again} {
				wg.Go(func() {
					s, err := b.sends.Begin(t.Context(), m, everybody)
					if err == nil {
						won <- s
					} else if !errors.Is(err, ErrRunning) {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			close(won)
			equal(t, fmt.Sprintf("winners in round %d", round), len(won), 1)
			for s := range won {
				leave(t, s)
			}
		}
	})
}

// The client is gone, and with it the context; the copy is out all the same.
func TestWhatWasAcceptedIsNotedAfterTheClientIsGone(t *testing.T) {
	onAllStores(t, func(t *testing.T, b *bench) {
		s := b.begin(news)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Accepted(gone, everybody[0]); err != nil {
			t.Error(err)
		}
		if err := s.Leave(gone); err != nil {
			t.Error(err)
		}
		s = b.begin(news)
		equal(t, "known", known(s, everybody...), everybody[0])
		if err := s.Finish(gone); err != nil {
			t.Error(err)
		}
		equal(t, "records", b.records(), 0)
	})
}

func TestSendsRunSideBySide(t *testing.T) {
	onAllStores(t, func(t *testing.T, b *bench) {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				s, err := b.sends.Begin(t.Context(), another(i), numbered(i+1))
				if err != nil {
					t.Error(err)
					return
				}
				for _, r := range numbered(i + 1) {
					if err := s.Accepted(t.Context(), r); err != nil {
						t.Error(err)
					}
				}
				if err := s.Leave(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for i := range 8 {
			s := b.begin(another(i), numbered(i+2)...)
			equal(t, "last", s.Has(fmt.Sprintf("%d@x.example", i)), true)
			equal(t, "one after", s.Has(fmt.Sprintf("%d@x.example", i+1)), false)
			leave(t, s)
		}
	})
}

// Memory and file are bounded. What is unfinished goes on even then, since it
// is what makes room.
func TestAFullStoreTakesOnlyWhatItKnows(t *testing.T) {
	const room = 2*recordSize + 2 // a send of one recipient
	c := newClock()
	m := openMemory(c.now)
	m.max = room
	f, err := openBolt(t.TempDir()+"/sends", c.now)
	if err != nil {
		t.Fatal(err)
	}
	f.max = room
	for what, s := range map[string]store{"memory": m, "bolt": f} {
		t.Run(what, func(t *testing.T) {
			b := &bench{t: t, sends: opening(t, s)}
			other := Message{Route: "work", Sender: "you@home.example", ID: "<9@home.example>"}
			b.try(news, everybody[0])
			mayNotBegin(t, b.sends, ErrFull, other, everybody...)
			s := b.begin(again)
			equal(t, "known", known(s, everybody...), everybody[0])
			accept(t, s, everybody[1:]...)
			finish(t, s)
			// The record of the first Message-ID is left, and fits.
			b.try(other, everybody[0])
			mayNotBegin(t, b.sends, ErrFull, again, everybody...)
			c.advance(idLife)
			leave(t, b.begin(again)) // ErrFull has left no lock
		})
	}
}
