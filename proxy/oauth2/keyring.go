package oauth2

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/zalando/go-keyring"
)

// A keyringStore is an entry of the system's keyring: Secret Service, Keychain, or
// Credential Manager.
type keyringStore struct{ account, lock string }

const (
	keyringService = "sendguard"
	keyringTime    = 10 * time.Second
)

var errKeyring = &Fault{Kind: Failed, text: "there is no keyring here (a login without a desktop, perhaps): use store: file:PATH"}

// keyringTurn is had by the one call of the keyring that is under way. It may wait
// for a person to unlock it, and nothing can end it; so there is at most one.
var keyringTurn = make(chan struct{}, 1)

// ask calls the keyring and does not wait for ever. A keyring that is locked may
// ask a person, or say nothing.
func ask(ctx context.Context, call func() (string, error)) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, keyringTime)
	defer cancel()
	locked := &Fault{Kind: Login, text: "the keyring is locked, or does not answer"}
	select {
	case keyringTurn <- struct{}{}:
	case <-ctx.Done():
		return "", locked
	}
	type answer struct {
		secret string
		err    error
	}
	done := make(chan answer, 1)
	go func() {
		secret, err := call()
		<-keyringTurn
		done <- answer{secret, err}
	}()
	select {
	case a := <-done:
		return a.secret, a.err
	case <-ctx.Done():
		return "", locked
	}
}

// keyringFault says why a call failed; what the keyring says is not repeated, it
// may name the entry.
func keyringFault(err error) error {
	f := (*Fault)(nil)
	switch {
	case err == nil, errors.As(err, &f):
		return err
	case errors.Is(err, keyring.ErrSetDataTooBig):
		return &Fault{Kind: Failed, text: "the token is too long for the keyring: use store: file:PATH"}
	case isLocked(err):
		return &Fault{Kind: Login, text: "the keyring is locked"}
	}
	return errKeyring
}

// isLocked tells by the words: the library has no error for it. It tries to unlock,
// and says so when nobody did.
func isLocked(err error) bool {
	return strings.Contains(err.Error(), "unlock") || strings.Contains(err.Error(), "locked") || strings.Contains(err.Error(), "IsLocked")
}

func (s *keyringStore) Load(ctx context.Context) (string, error) {
	token, err := ask(ctx, func() (string, error) { return keyring.Get(keyringService, s.account) })
	if errors.Is(err, keyring.ErrNotFound) || err == nil && token == "" {
		return "", errNoToken
	}
	return token, keyringFault(err)
}

func (s *keyringStore) Save(ctx context.Context, token string) error {
	_, err := ask(ctx, func() (string, error) { return "", keyring.Set(keyringService, s.account, token) })
	return s.changed(err)
}

func (s *keyringStore) Forget(ctx context.Context) error {
	_, err := ask(ctx, func() (string, error) { return "", keyring.Delete(keyringService, s.account) })
	if errors.Is(err, keyring.ErrNotFound) {
		err = nil
	}
	return s.changed(err)
}

// changed tells others by the lock: nobody is to ask the keyring every second.
func (s *keyringStore) changed(err error) error {
	if err != nil {
		return keyringFault(err)
	}
	now := time.Now()
	os.Chtimes(s.lock, now, now)
	return nil
}

func (s *keyringStore) Lock(ctx context.Context) (func(), error) {
	if err := os.MkdirAll(filepath.Dir(s.lock), 0o700); err != nil {
		return nil, aboutFile("the lock of the token store cannot be made", err)
	}
	return lockFile(ctx, s.lock)
}

func (s *keyringStore) Stamp() string { return stampOf(s.lock) }

// Check has nothing to look at: to ask whether there is a keyring may unlock it.
func (s *keyringStore) Check() error { return nil }
