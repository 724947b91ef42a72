package proxy

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// smallDisk is a real one for a file of the state. It skips the test where it may
// not mount.
func smallDisk(t *testing.T) medium {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("sendguard-test", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("NOT TESTED: cannot mount a small disk (it takes root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	filler := filepath.Join(dir, "filler")
	fill := func() {
		f, err := os.Create(filler)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		for err == nil {
			_, err = f.Write(make([]byte, 4096))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("the disk is not full, but: %v", err)
		}
	}
	empty := func() {
		if err := os.Remove(filler); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	}
	return medium{"bolt:" + filepath.Join(dir, "sends"), fill, empty}
}
