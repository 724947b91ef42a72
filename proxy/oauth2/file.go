package oauth2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A fileStore is a file with the token and nothing else.
type fileStore struct{ path string }

// place is the file itself, where its name is a link: what is replaced is not the
// link.
func (s *fileStore) place() string {
	if real, err := filepath.EvalSymlinks(s.path); err == nil {
		return real
	}
	return s.path
}

// next is where a token is written before it takes the other's place. Whoever has
// the lock may remove it: it is left behind by one who was killed.
func (s *fileStore) next() string { return s.place() + ".new" }

func (s *fileStore) Load(context.Context) (string, error) {
	os.Remove(s.next())
	if err := s.private(); err != nil {
		return "", err
	}
	f, err := os.Open(s.place())
	if errors.Is(err, fs.ErrNotExist) {
		return "", errNoToken
	}
	if err != nil {
		return "", aboutFile("the token cannot be read", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxToken))
	if err != nil {
		return "", aboutFile("the token cannot be read", err)
	}
	if token := strings.TrimSpace(string(text)); token != "" {
		return token, nil
	}
	return "", errNoToken
}

// Save writes a token whole or not at all: it is the other one's place that it
// takes, once it is on the disk.
func (s *fileStore) Save(_ context.Context, token string) error {
	if err := s.private(); err != nil {
		return err
	}
	if err := s.replace([]byte(token + "\n")); err != nil {
		os.Remove(s.next())
		return aboutFile("the token cannot be kept", err)
	}
	return nil
}

func (s *fileStore) replace(text []byte) error {
	os.Remove(s.next())
	f, err := os.OpenFile(s.next(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, giveToOwner(f, s.place()), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(s.next(), s.place()); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(s.place()))
}

// syncFolder has the new name of a file survive a loss of power.
func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	dir.Sync() // not all systems can
	return dir.Close()
}

func (s *fileStore) Forget(context.Context) error {
	os.Remove(s.next())
	if err := os.Remove(s.place()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return aboutFile("the token cannot be removed", err)
	}
	return nil
}

func (s *fileStore) Lock(ctx context.Context) (func(), error) {
	return lockFile(ctx, s.place()+".lock")
}
func (s *fileStore) Stamp() string { return stampOf(s.place()) }

// Check names the file: it is for who writes the configuration.
func (s *fileStore) Check() error {
	if err := s.private(); err != nil {
		return err
	}
	if err := writable(filepath.Dir(s.place())); err != nil {
		return fmt.Errorf("the folder of %s: %w", s.path, err)
	}
	return nil
}

// private is an error where others could read or change the token: in the file, or
// because they can put another one in its place.
func (s *fileStore) private() error {
	dir := filepath.Dir(s.place())
	info, err := os.Stat(dir)
	if err != nil {
		return aboutFile("the folder of the token", err)
	}
	if !info.IsDir() || !ownedOnly(info, 0o022) {
		return &Fault{Kind: Failed, text: "others may write into the folder of the token (chmod go-w), or it is another user's"}
	}
	info, err = os.Stat(s.place())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return aboutFile("the token", err)
	}
	if !info.Mode().IsRegular() || !ownedOnly(info, 0o077) {
		return &Fault{Kind: Failed, text: "others may read or write the file of the token (chmod 600), or it is another user's"}
	}
	return nil
}
