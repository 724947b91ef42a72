//go:build unix

package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// A guard holds a lock on a file that is named after its configuration. The
// system says which process that is: a number in a file could be an old one, or
// somebody else's choice of what the administrator sends a signal to.

// lockName is that of the file for a configuration.
func lockName(config string) string {
	return fmt.Sprintf("%x.lock", sha256.Sum256([]byte(config)))
}

// runtimeFolders are where guards keep those files: what systemd gives one, then
// the system's, the user's, and the one where neither is.
func runtimeFolders() []string {
	folders := append(filepath.SplitList(os.Getenv("RUNTIME_DIRECTORY")), "/run/sendguard")
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		folders = append(folders, filepath.Join(dir, "sendguard"))
	}
	return append(folders, filepath.Join(os.TempDir(), fmt.Sprintf("sendguard-%d", os.Geteuid())))
}

// beFound has hangUp find this process, until release. The file is then removed:
// a guard that starts in this moment may not be found, and nothing else is lost.
func beFound(config string) (release func(), err error) {
	var wrong []error
	for _, dir := range runtimeFolders() {
		f, err := lockIn(dir, config)
		if err == nil {
			return func() { os.Remove(f.Name()); f.Close() }, nil
		}
		wrong = append(wrong, err)
	}
	return func() {}, errors.Join(wrong...)
}

func lockIn(dir, config string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName(config)), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return f, nil
}

// hangUp tells the guard of a configuration to load it again.
func hangUp(config string) (pid int, err error) {
	for _, dir := range runtimeFolders() {
		if pid := holder(filepath.Join(dir, lockName(config))); pid > 0 {
			return pid, os.NewSyscallError(fmt.Sprintf("signal to process %d", pid), syscall.Kill(pid, syscall.SIGHUP))
		}
	}
	return 0, fmt.Errorf("no guard runs with %s, or none that you may see", config)
}

// holder is the process that holds the lock on a file; 0: none.
func holder(path string) int {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock) != nil || lock.Type == unix.F_UNLCK {
		return 0
	}
	return int(lock.Pid)
}
