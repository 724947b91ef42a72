package oauth2

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/gofrs/flock"
)

// lockFile waits until nobody else has the lock.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	if err := createOwned(path); err != nil {
		return nil, aboutFile("the lock of the token store cannot be made", err)
	}
	lock := flock.New(path, flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, 20*time.Millisecond); err != nil {
		lock.Close()
		if ctx.Err() != nil {
			return nil, &Fault{Kind: Failed, text: "another sendguard has the token store locked"}
		}
		return nil, aboutFile("the token store cannot be locked", err)
	}
	return func() { lock.Close() }, nil
}

// createOwned makes an empty file where there is none. Made by root it is the
// folder's owner's, or the guard could not open it.
func createOwned(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(giveToOwner(f, path), f.Close())
}

// aboutFile says what is wrong with a file, without its name: that may be somebody's.
func aboutFile(what string, err error) *Fault {
	why := "it failed"
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		why = p.Err.Error()
	}
	return &Fault{Failed, what + ": " + why, err}
}

// stampOf is another one when a file is.
func stampOf(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return fmt.Sprint(info.ModTime().UnixNano(), info.Size(), inode(info))
}
