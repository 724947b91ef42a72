package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// replaceFile writes a file so that there is the old one or the new one, and
// never a part. One that was there keeps its owner and mode: it belongs to who
// needs it. A new one has the mode, and from root the owner and group of its
// folder.
func replaceFile(path string, mode os.FileMode, text []byte) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	whose, mode, err := ownership(path, mode)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".sendguard-")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, whose.give(f), f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// lockTime bounds the wait for somebody else who changes the same file.
const lockTime = 10 * time.Second

// lockFile keeps others out who would read a file, change and replace it, until
// unlock. The lock is a file beside it, which stays.
func lockFile(path string) (unlock func() error, err error) {
	lock := flock.New(path+".lock", flock.SetPermissions(0o600))
	ctx, cancel := context.WithTimeout(context.Background(), lockTime)
	defer cancel()
	_, statErr := os.Stat(lock.Path())
	if _, err := lock.TryLockContext(ctx, 20*time.Millisecond); err != nil {
		return nil, fmt.Errorf("%s cannot be locked: %w", lock.Path(), err)
	}
	if errors.Is(statErr, fs.ErrNotExist) {
		err = adopt(lock.Path(), path)
	}
	return lock.Close, err
}
