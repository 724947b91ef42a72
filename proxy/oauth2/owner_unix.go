//go:build unix

package oauth2

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownedOnly reports whether a file is this user's, or root's, and nobody else has
// one of the rights. Root may use the files of others, as it does for them.
func ownedOnly(info fs.FileInfo, rights fs.FileMode) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	self := os.Geteuid()
	return ok && info.Mode().Perm()&rights == 0 && (self == 0 || stat.Uid == 0 || int(stat.Uid) == self)
}

// giveToOwner gives a new file to whom the one at path belongs, or its folder:
// what root writes is for the guard to read.
func giveToOwner(f *os.File, path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		info, err = os.Stat(filepath.Dir(path))
	}
	if err != nil {
		return err
	}
	stat := info.Sys().(*syscall.Stat_t)
	return f.Chown(int(stat.Uid), int(stat.Gid))
}

// writable is an error where this user cannot make files in a folder.
func writable(dir string) error { return unix.Access(dir, unix.W_OK|unix.X_OK) }

func inode(info fs.FileInfo) uint64 { return info.Sys().(*syscall.Stat_t).Ino }
