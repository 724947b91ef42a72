package oauth2

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A Source has the access token in use.
type Source struct {
	client *Client
	now    func() moment
	turn   chan struct{} // had by who asks the provider

	mu       sync.Mutex
	access   access
	fault    error // of the last attempt; nil: it went well
	failedAt moment
	stamp    string // of the store, at the last attempt
	forcedAt moment // a token that the server refused was last renewed
	told     func(Event)

	// These are for who has the turn.
	asked    bool   // the provider, in the attempt under way
	rejected string // the refresh token that the provider refused: not to be tried again
	unkept   *unkept
}

// An access token, and how long it is good for.
type access struct {
	token string
	got   moment
	life  time.Duration
}

// An unkept token was rotated, and could not be kept. It is not used before it is.
type unkept struct {
	replaces, refresh string
	access            access
}

const (
	refreshTime  = 30 * time.Second // for all of one refresh
	faultPause   = 10 * time.Second // until mail has the provider asked again
	forcePause   = time.Minute      // between refreshes because a server refused the token
	unknownLife  = 10 * time.Minute // of a token that does not say
	shortestLife = 10 * time.Second // of one that ends at once: the server is to judge
	earliest     = 5 * time.Minute  // before its end is a token renewed
)

// NewSource makes a source; it has no token yet.
func NewSource(c *Client) *Source {
	return &Source{client: c, now: present, turn: make(chan struct{}, 1), told: func(Event) {}}
}

// left is how long a token is good for.
func (a access) left(now moment) time.Duration {
	if a.token == "" {
		return 0
	}
	return a.life - now.since(a.got)
}

func (s *Source) current() (token string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.access.token, s.access.left(s.now()) > 0
}

// recently returns why the last attempt failed, while it is too early for another.
// A store that somebody has changed is worth one at once.
func (s *Source) recently(pause time.Duration) error {
	stamp := s.storeStamp()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault == nil || stamp != s.stamp || s.now().since(s.failedAt) >= pause {
		return nil
	}
	return s.fault
}

func (s *Source) storeStamp() string {
	if s.client.Store == nil {
		return ""
	}
	return s.client.Store.Stamp()
}

// take waits for the turn. One asks the provider, the others see what came of it.
func (s *Source) take(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &Fault{Kind: Failed, text: "the provider does not answer"}
	}
}

func (s *Source) give() { <-s.turn }

// Token returns a token that is good as far as is known. Where there is one nobody
// waits; where there is none, one asks the provider for all who do. The error is a
// *Fault.
func (s *Source) Token(ctx context.Context) (string, error) {
	if token, ok := s.current(); ok {
		return token, nil
	}
	if err := s.take(ctx); err != nil {
		return "", err
	}
	defer s.give()
	if token, ok := s.current(); ok {
		return token, nil
	}
	if err := s.recently(faultPause); err != nil {
		return "", err
	}
	return s.renew(ctx)
}

// ErrNoOther says that a token which was refused is the only one.
var ErrNoOther = errors.New("there is no other token")

// Refused returns another token than one that the server refused. A server may
// refuse all: the provider is not asked each time.
func (s *Source) Refused(ctx context.Context, token string) (string, error) {
	if err := s.take(ctx); err != nil {
		return "", err
	}
	defer s.give()
	if now, ok := s.current(); ok && now != token {
		return now, nil
	}
	s.mu.Lock()
	early := s.now().since(s.forcedAt) < forcePause
	if !early {
		s.forcedAt = s.now()
	}
	s.mu.Unlock()
	if early {
		return "", ErrNoOther
	}
	other, err := s.renew(ctx)
	if err == nil && other == token {
		err = ErrNoOther
	}
	return other, err
}

// renew gets another token. It goes on where ctx ends: a session that leaves is not
// to lose the token that the provider has just rotated. The turn is had.
func (s *Source) renew(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refreshTime)
	defer cancel()
	s.asked = false
	got, stamp, err := s.obtain(ctx)
	result := ""
	if s.asked {
		result = resultOf(err)
	}
	s.note(got, stamp, err, result)
	return got.token, err
}

// note remembers how an attempt ended, and tells. A token that is good stays in use
// where there is no other, but not where nobody is logged in any more.
func (s *Source) note(got access, stamp string, err error, result string) {
	s.mu.Lock()
	s.stamp, s.fault = stamp, err
	if err == nil || kindOf(err) == Login {
		s.access = got
	}
	if err != nil {
		s.failedAt = s.now()
	}
	event, told := s.event(), s.told
	s.mu.Unlock()
	event.Result = result
	told(event)
}

// obtain asks the provider, with the kept token where there is one. The stamp is the
// store's, before others had it again.
func (s *Source) obtain(ctx context.Context) (got access, stamp string, err error) {
	store := s.client.Store
	if store == nil {
		s.asked = true
		token, err := s.client.apply(ctx)
		got, err := s.asAccess(token, err)
		return got, "", err
	}
	unlock, err := store.Lock(ctx)
	if err != nil {
		return access{}, store.Stamp(), err
	}
	defer func() {
		stamp = store.Stamp()
		unlock()
	}()
	kept, err := s.kept(ctx)
	if err != nil {
		return access{}, "", err
	}
	if late := s.unkept; late != nil && late.replaces == kept {
		if err := store.Save(ctx, late.refresh); err != nil {
			return access{}, "", err
		}
		kept, s.unkept = late.refresh, nil
		if late.access.left(s.now()) > 0 {
			return late.access, "", nil
		}
	}
	got, err = s.refresh(ctx, kept)
	return got, "", err
}

// kept is the refresh token, where there is one that is worth a try.
func (s *Source) kept(ctx context.Context) (string, error) {
	kept, err := s.client.Store.Load(ctx)
	switch {
	case errors.Is(err, errNoToken):
		return "", &Fault{Kind: Login, text: "nobody has logged in: run sendguard login"}
	case err == nil && kept == s.rejected:
		return "", &Fault{Kind: Login, text: "the provider has ended the login; run sendguard login"}
	}
	return kept, err
}

// refresh trades the kept token in. The new one is kept first, then used.
func (s *Source) refresh(ctx context.Context, kept string) (access, error) {
	s.unkept = nil // somebody has logged in since
	s.asked = true
	token, err := s.client.refresh(ctx, kept)
	got, err := s.asAccess(token, err)
	if err != nil {
		if kindOf(err) == Login {
			s.rejected = kept
		}
		return access{}, err
	}
	if token.RefreshToken == kept {
		return got, nil
	}
	if err := s.client.Store.Save(ctx, token.RefreshToken); err != nil {
		s.unkept = &unkept{kept, token.RefreshToken, got}
		return access{}, err
	}
	return got, nil
}

func kindOf(err error) Kind {
	if f := (*Fault)(nil); errors.As(err, &f) {
		return f.Kind
	}
	return Failed
}
