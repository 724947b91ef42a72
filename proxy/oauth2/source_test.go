package oauth2

import (
	"context"
	"errors"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"
)

// A clock that a test moves.
type clock struct {
	mu   sync.Mutex
	up   time.Duration
	wall time.Duration
}

func (c *clock) now() moment {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := present()
	return moment{now.up + c.up, now.wall.Add(c.wall)}
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.up, c.wall = c.up+d, c.wall+d
}

// set sets the clock of the machine, or has it sleep: the other one does not see it.
func (c *clock) set(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall += d
}

func withClock(c *Client) (*Source, *clock) {
	s, clock := NewSource(c), &clock{}
	s.now = clock.now
	return s, clock
}

func mustToken(t *testing.T, s *Source) string {
	t.Helper()
	token, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestFiftyWhoWaitCostOneRefresh(t *testing.T) {
	p := newProvider(t)
	s := NewSource(p.loggedIn())
	var waiting sync.WaitGroup
	tokens := make(chan string, 50)
	for range 50 {
		waiting.Go(func() {
			token, err := s.Token(t.Context())
			if err != nil {
				t.Error(err)
			}
			tokens <- token
		})
	}
	waiting.Wait()
	close(tokens)
	first := <-tokens
	for token := range tokens {
		if token != first {
			t.Errorf("%q and %q", first, token)
		}
	}
	if n := p.Calls(); n != 1 {
		t.Errorf("the provider was asked %d times", n)
	}
}

func TestATokenIsRenewedWhenItEnds(t *testing.T) {
	p := newProvider(t)
	s, clock := withClock(p.loggedIn())
	first := mustToken(t, s)
	clock.pass(59 * time.Minute)
	if mustToken(t, s) != first {
		t.Error("it was renewed by who waits, before its end")
	}
	clock.pass(2 * time.Minute)
	if mustToken(t, s) == first {
		t.Error("it has ended")
	}
}

func TestAMachineThatSleptEightHoursRenewsItsToken(t *testing.T) {
	p := newProvider(t)
	s, clock := withClock(p.loggedIn())
	first := mustToken(t, s)
	clock.set(8 * time.Hour)
	if mustToken(t, s) == first {
		t.Error("the clock that stood still was asked")
	}
}

// A clock that is set back would have a token last for as much longer.
func TestAClockThatIsSetBackKeepsNoTokenAlive(t *testing.T) {
	p := newProvider(t)
	s, clock := withClock(p.loggedIn())
	first := mustToken(t, s)
	clock.set(-24 * time.Hour)
	clock.pass(30 * time.Minute)
	if mustToken(t, s) != first {
		t.Error("it had half an hour left")
	}
	clock.pass(time.Hour)
	if mustToken(t, s) == first {
		t.Error("it has ended, whatever the clock on the wall says")
	}
}

// The provider may have rotated the token when the client of the session is gone.
func TestASessionThatLeavesDoesNotBreakOffARefresh(t *testing.T) {
	p := newProvider(t)
	c := p.loggedIn()
	ctx, leave := context.WithCancel(t.Context())
	p.SetFault(func(http.ResponseWriter, *http.Request) bool { leave(); return false })
	if _, err := NewSource(c).Token(ctx); err != nil {
		t.Error(err)
	}
	if kept, err := c.Store.Load(t.Context()); err != nil || kept != p.Valid() {
		t.Errorf("kept is %q, %v; the provider takes %q", kept, err, p.Valid())
	}
}

func TestATokenThatEndsAtOnceIsUsedAndNotAskedForAllTheTime(t *testing.T) {
	for name, life := range map[string]any{"zero": 0, "one": 1, "below": -30, "none": nil, "a word": "soon"} {
		p := newProvider(t)
		p.Life = life
		s := NewSource(p.loggedIn())
		for range 20 {
			if _, err := s.Token(t.Context()); err != nil && name != "a word" {
				t.Errorf("%s: %v", name, err)
			}
		}
		if n := p.Calls(); n != 1 {
			t.Errorf("%s: asked %d times", name, n)
		}
	}
}

func TestATokenThatTheServerRefusedIsRenewedOnce(t *testing.T) {
	p := newProvider(t)
	s, clock := withClock(p.loggedIn())
	first := mustToken(t, s)
	var second string
	for range 10 { // sessions that were refused with the first
		token, err := s.Refused(t.Context(), first)
		if err != nil || token == first || second != "" && token != second {
			t.Fatalf("%q, %v", token, err)
		}
		second = token
	}
	if n := p.Calls(); n != 2 {
		t.Errorf("asked %d times", n)
	}
	if _, err := s.Refused(t.Context(), second); !errors.Is(err, ErrNoOther) {
		t.Errorf("the second within a minute: %v", err)
	}
	clock.pass(forcePause)
	if third, err := s.Refused(t.Context(), second); err != nil || third == second {
		t.Errorf("a minute later: %q, %v", third, err)
	}
}

func TestARotatedTokenIsKeptBeforeItIsUsed(t *testing.T) {
	p := newProvider(t)
	c := p.loggedIn()
	store := c.Store.(*fileStore)
	s, clock := withClock(c)
	mustToken(t, s)
	if kept, err := store.Load(t.Context()); err != nil || kept != p.Valid() {
		t.Errorf("kept is %q, %v; the provider takes %q", kept, err, p.Valid())
	}
	// As where the disk is full: the new file cannot be made.
	obstacle := store.path + ".new"
	if err := os.MkdirAll(obstacle+"/in the way", 0o700); err != nil {
		t.Fatal(err)
	}
	clock.pass(2 * time.Hour)
	for range 3 {
		if token, err := s.Token(t.Context()); err == nil {
			t.Errorf("%q is used, and what it came with is not kept", token)
		}
		clock.pass(faultPause)
	}
	if n := p.Calls(); n != 2 {
		t.Errorf("the provider was asked %d times", n)
	}
	if err := os.RemoveAll(obstacle); err != nil {
		t.Fatal(err)
	}
	mustToken(t, s)
	if kept, err := store.Load(t.Context()); err != nil || kept != p.Valid() || p.Calls() != 2 {
		t.Errorf("with room again: kept is %q, %v; the provider takes %q and was asked %d times", kept, err, p.Valid(), p.Calls())
	}
}

// Of a provider that takes a token once, and ends all where it is shown again.
func TestSeveralSendguardsAndALoginShareAToken(t *testing.T) {
	p := newProvider(t)
	c := p.loggedIn()
	var running sync.WaitGroup
	for range 2 {
		s, clock := withClock(New(c.Settings))
		running.Go(func() {
			for range 20 {
				if _, err := s.Token(t.Context()); err != nil {
					t.Error(err)
				}
				clock.pass(2 * time.Hour)
			}
		})
	}
	running.Go(func() {
		for range 20 {
			unlock, err := c.Store.Lock(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			if err := c.Store.Save(t.Context(), p.Grant()); err != nil {
				t.Error(err)
			}
			unlock()
		}
	})
	running.Wait()
	if n := p.Calls(); n != 40 {
		t.Errorf("asked %d times", n)
	}
}

// keep runs Keep with what it tells.
func keep(t *testing.T, s *Source) <-chan Event {
	ctx, cancel := context.WithCancel(t.Context())
	events, done := make(chan Event, 100), make(chan struct{})
	go func() {
		defer close(done)
		s.Keep(ctx, func(e Event) { events <- e })
	}()
	t.Cleanup(func() { cancel(); <-done })
	return events
}

func await(t *testing.T, events <-chan Event, what string, is func(Event) bool) {
	t.Helper()
	end := time.After(patience)
	for {
		select {
		case e := <-events:
			if is(e) {
				return
			}
		case <-end:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func isLoggedIn(e Event) bool  { return !e.LoginRequired && !e.Expiry.IsZero() && e.Result == "ok" }
func isLoggedOut(e Event) bool { return e.LoginRequired && e.Expiry.IsZero() }

func TestWhatMailBroughtAboutBeforeKeepBeganIsToldToo(t *testing.T) {
	s, _ := withClock(newProvider(t).client())
	if _, err := s.Token(t.Context()); kindOf(err) != Login {
		t.Fatalf("%v", err)
	}
	await(t, keep(t, s), "that nobody is logged in", func(e Event) bool { return e.LoginRequired })
}

func TestATokenIsRenewedBeforeItsEndAndOffTheWayOfMail(t *testing.T) {
	p := newProvider(t)
	s, clock := withClock(p.loggedIn())
	events := keep(t, s)
	await(t, events, "the first token", isLoggedIn)
	first := mustToken(t, s)
	clock.pass(56 * time.Minute)
	if mustToken(t, s) != first {
		t.Error("who waits got another")
	}
	await(t, events, "another token", isLoggedIn)
	if mustToken(t, s) == first || p.Calls() != 2 {
		t.Errorf("it is still the first, or the provider was asked %d times", p.Calls())
	}
}

func TestALogoutAndALoginAreSeenByWhoServes(t *testing.T) {
	p := newProvider(t)
	c := p.loggedIn()
	s := NewSource(c)
	events := keep(t, s)
	await(t, events, "a token", isLoggedIn)
	began := time.Now()
	if _, _, err := c.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, events, "the logout", isLoggedOut)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	if _, err := s.Token(t.Context()); kindOf(err) != Login {
		t.Errorf("there is still a token: %v", err)
	}
	if err := c.Remember(t.Context(), &Grant{refresh: p.Grant()}); err != nil {
		t.Fatal(err)
	}
	mustToken(t, s) // at once, whoever comes
	await(t, events, "the login", isLoggedIn)
}

func TestALoginThatTheProviderHasEndedIsAskedForOnce(t *testing.T) {
	p := newProvider(t)
	c := p.loggedIn()
	p.Revoke()
	s, clock := withClock(c)
	events := keep(t, s)
	await(t, events, "the refusal", func(e Event) bool { return e.LoginRequired && e.Result == "refused" })
	for range 5 {
		clock.pass(time.Hour)
		if _, err := s.Token(t.Context()); kindOf(err) != Login {
			t.Errorf("got %v", err)
		}
	}
	if n := p.Calls(); n != 1 {
		t.Errorf("a token that was refused was shown %d times", n)
	}
}
