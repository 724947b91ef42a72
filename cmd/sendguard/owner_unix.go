//go:build unix

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	accounts "os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"sendguard/cmd/sendguard/supervisor"
)

// An owner is whose a file is.
type owner struct{ uid, gid int }

func ownerOf(info os.FileInfo) owner {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return owner{int(s.Uid), int(s.Gid)}
	}
	return owner{os.Geteuid(), os.Getegid()}
}

// ownership is whose a file is to be, and its mode: as it is, and where it is not
// yet there and root makes it, as its folder is.
func ownership(path string, mode os.FileMode) (owner, os.FileMode, error) {
	me := owner{os.Geteuid(), os.Getegid()}
	info, err := os.Stat(path)
	switch {
	case err == nil:
		return ownerOf(info), info.Mode().Perm(), nil
	case !errors.Is(err, fs.ErrNotExist):
		return me, mode, err
	case me.uid != 0:
		return me, mode, nil
	}
	dir, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return me, mode, err
	}
	return ownerOf(dir), mode, nil
}

// give makes it the owner of a file. Only root can give a file to somebody else.
func (o owner) give(f *os.File) error {
	info, err := f.Stat()
	if err != nil || ownerOf(info) == o {
		return err
	}
	if err := f.Chown(o.uid, o.gid); err != nil {
		return fmt.Errorf("the file would not belong to user %d and group %d any more, as the one before it does (run this as that user, or as root): %w", o.uid, o.gid, err)
	}
	return nil
}

// adopt makes a file that is new belong to the owner of another one.
func adopt(path, like string) error {
	whose, _, err := ownership(like, 0)
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	return os.Chown(path, whose.uid, whose.gid)
}

// guardMode is the mode of a new secret that the guard reads: for its owner alone,
// and where root puts it into a folder that a group of its own may enter, for that
// group, which is the guard's.
func guardMode(path string) os.FileMode {
	info, err := os.Stat(filepath.Dir(path))
	if err == nil && os.Geteuid() == 0 && ownerOf(info).gid != 0 && info.Mode()&0o010 != 0 {
		return 0o640
	}
	return 0o600
}

// unreadable says that the guard's own account, where there is one, cannot read a
// file that root has made; else nothing. It goes by owner and mode alone.
func unreadable(path string) string {
	account, err := accounts.Lookup(supervisor.Name)
	if err != nil || os.Geteuid() != 0 {
		return ""
	}
	groups, err := account.GroupIds()
	if err != nil {
		return ""
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if !may(dir, account.Uid, groups, 1) {
			return fmt.Sprintf("note: the account %s cannot enter %s, so it cannot read %s", account.Username, dir, path)
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	if !may(path, account.Uid, groups, 4) {
		return fmt.Sprintf("note: the account %s cannot read %s: chgrp %s it, and chmod g+r", account.Username, path, account.Username)
	}
	return ""
}

// may reports whether an account has one of the rights r (4) and x (1).
func may(path, uid string, groups []string, right os.FileMode) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	whose := ownerOf(info)
	switch {
	case strconv.Itoa(whose.uid) == uid:
		right <<= 6
	case slices.Contains(groups, strconv.Itoa(whose.gid)):
		right <<= 3
	}
	return info.Mode()&right != 0
}
