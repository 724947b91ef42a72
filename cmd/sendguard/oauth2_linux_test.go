package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestAFullDiskLosesNoLogin has the rotation meet a disk that is full.
func TestAFullDiskLosesNoLogin(t *testing.T) {
	s := newOAuth(t)
	if err := syscall.Mount("tmpfs", s.dir, "tmpfs", 0, "size=16k,mode=0700"); err != nil {
		t.Skip("no file system of one's own: ", err)
	}
	defer syscall.Unmount(s.dir, syscall.MNT_DETACH)
	s.mustLogin()
	for full := []byte("x"); ; full = append(full, full...) { // until there is no room for another byte
		if os.WriteFile(filepath.Join(s.dir, fmt.Sprint("full", len(full))), full, 0o600) != nil {
			break
		}
	}
	p := s.serve()
	p.mustSend("454 4.7.0 Not sent: sendguard has no OAuth2 token for 127.0.0.1: the token cannot be kept: no space left on device")
	full, _ := filepath.Glob(filepath.Join(s.dir, "full*"))
	for _, path := range full {
		os.Remove(path)
	}
	for end := time.Now().Add(2 * patience); !strings.HasPrefix(p.send(), "250"); {
		if time.Now().After(end) {
			t.Fatal(p.out.String())
		}
	}
	if n := s.provider.Calls(); n != 2 {
		t.Errorf("the provider was asked %d times", n)
	}
	p.stop()
	s.hides("the log", p.out.String())
}
