//go:build unix

package unfinished

import (
	"os"

	"golang.org/x/sys/unix"
)

// MayWrite is an error where this process cannot write to a file, or make one in a
// folder. It asks for the rights and touches nothing.
func MayWrite(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	rights := uint32(unix.R_OK | unix.W_OK)
	if info.IsDir() {
		rights = unix.W_OK | unix.X_OK
	}
	if err := unix.Access(path, rights); err != nil {
		return &os.PathError{Op: "access", Path: path, Err: err}
	}
	return nil
}
