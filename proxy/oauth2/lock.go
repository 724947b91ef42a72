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
		return nil, &Fault{Failed, "the lock of the token store cannot be made: " + reason(err)}
	}
	lock := flock.New(path, flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, 20*time.Millisecond); err != nil {
		lock.Close()
		if ctx.Err() != nil {
			return nil, &Fault{Failed, "another sendguard has the token store locked"}
		}
		return nil, &Fault{Failed, "the token store cannot be locked: " + reason(err)}
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

// reason is what is wrong with a file, without its name: that may be somebody's.
func reason(err error) string {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err.Error()
	}
	return "it failed"
}

// stampOf is another one when a file is.
func stampOf(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return fmt.Sprint(info.ModTime().UnixNano(), info.Size(), inode(info))
}
