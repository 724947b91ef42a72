package oauth2

import (
	"context"
	"time"

	"golang.org/x/oauth2"
)

// An Event is what a source tells of itself. It has nothing of a token.
type Event struct {
	Expiry        time.Time // of the access token; zero: there is none
	LoginRequired bool
	Result        string // of a refresh; "": it was none
	Fault         error  // why there is no token; nil: there is one, or none was asked for
}

// Results are those of a refresh.
var Results = []string{"ok", "refused", "failed"}

func resultOf(err error) string {
	switch {
	case err == nil:
		return "ok"
	case kindOf(err) == Failed:
		return "failed"
	}
	return "refused"
}

// event is with mu held.
func (s *Source) event() Event {
	e := Event{LoginRequired: kindOf(s.fault) == Login, Fault: s.fault}
	if s.access.token != "" {
		e.Expiry = s.access.got.wall.Add(s.access.life)
	}
	return e
}

// asAccess is a token as it came.
func (s *Source) asAccess(token *oauth2.Token, err error) (access, error) {
	if err != nil {
		return access{}, err
	}
	got := access{token: token.AccessToken, got: s.now(), life: unknownLife}
	if !token.Expiry.IsZero() {
		got.life = max(time.Until(token.Expiry), shortestLife)
	}
	return got, nil
}

const (
	lookEvery  = 2 * time.Second  // at the store and at the clock
	retryEvery = 30 * time.Second // while nobody sends
)

// Keep renews the token before it ends, and drops it when somebody has logged out,
// until ctx ends. told hears of every change, also of those that mail brought about,
// and of what stands when it begins.
func (s *Source) Keep(ctx context.Context, told func(Event)) {
	if s.take(ctx) != nil {
		return
	}
	s.mu.Lock()
	s.told = func(e Event) {
		if ctx.Err() == nil {
			told(e)
		}
	}
	before := s.event()
	s.mu.Unlock()
	if before != (Event{}) { // mail was faster, or another Keep ended
		told(before)
	}
	s.give()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		s.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look renews what is about to end, and sees to what others did to the store.
func (s *Source) look(ctx context.Context) {
	if !s.wants() || s.take(ctx) != nil {
		return
	}
	defer s.give()
	_, good := s.current()
	switch {
	case !s.wants(): // somebody was faster
	case good && s.storeChanged():
		s.recheck(ctx)
	default:
		s.renew(ctx)
	}
}

// wants reports whether there is something to do. A login that is missing is looked
// for when the store has changed, no earlier: the keyring may ask the person each
// time.
func (s *Source) wants() bool {
	changed := s.storeChanged()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case changed:
		return true
	case kindOf(s.fault) == Login:
		return false
	case s.fault != nil:
		return s.now().since(s.failedAt) >= retryEvery
	}
	return s.access.left(s.now()) <= min(earliest, s.access.life/4)
}

func (s *Source) storeChanged() bool {
	stamp := s.storeStamp()
	s.mu.Lock()
	defer s.mu.Unlock()
	return stamp != s.stamp
}

// recheck drops the access token where somebody has logged out. Where the store has
// another refresh token now, another sendguard may have traded it in: to do the
// same at once would have both of them do it for ever.
func (s *Source) recheck(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, refreshTime)
	defer cancel()
	unlock, err := s.client.Store.Lock(ctx)
	if err != nil {
		return
	}
	_, err = s.kept(ctx)
	stamp := s.client.Store.Stamp()
	unlock()
	s.mu.Lock()
	still := s.access
	s.mu.Unlock()
	s.note(still.unless(err), stamp, err, "")
}

// unless is no token where nobody is logged in.
func (a access) unless(err error) access {
	if kindOf(err) == Login {
		return access{}
	}
	return a
}
