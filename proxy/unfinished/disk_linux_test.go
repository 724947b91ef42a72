package unfinished

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

func init() { jobs["full"] = acceptOnAFullDisk }

// acceptOnAFullDisk has the file stop growing, as if the disk were full, notes
// what it can, has room again, and ends well if all is noted then.
func acceptOnAFullDisk(s *Send, path string) int {
	signal.Ignore(syscall.SIGXFSZ) // the write fails then
	info, err := os.Stat(path)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		fmt.Println(err)
		return 1
	}
	full := syscall.Rlimit{Cur: uint64(info.Size()), Max: old.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		fmt.Println(err)
		return 1
	}
	failed := 0
	for _, r := range numbered(4000) {
		if err := s.Accepted(context.Background(), r); err != nil {
			if failed++; failed == 3 {
				fmt.Println(err)
				break
			}
		}
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		fmt.Println(err)
		return 1
	}
	if err := s.Accepted(context.Background(), "last@x.example"); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("noted", len(s.records[0].known), "size", s.store.(*bolt).size)
	return 0
}

func TestWhatAFullDiskRefusedIsWrittenLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sends")
	ctx, cancel := context.WithTimeout(t.Context(), 6*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "UNFINISHED_CHILD=full:"+path)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	said, rest, _ := strings.Cut(string(out), "\n")
	if !strings.Contains(said, path) || !strings.Contains(said, "file too large") {
		t.Errorf("the error is %q, and should name the file and what is wrong", said)
	}
	var n, size int
	if _, err := fmt.Sscanf(rest, "noted %d size %d", &n, &size); err != nil {
		t.Fatalf("%v: %q", err, rest)
	}
	equal(t, "size", size, 2*(recordSize+n))
	sends, err := Open(t.Context(), "bolt:"+path)
	if err != nil {
		t.Fatal(err)
	}
	opening(t, sends.store)
	s := begin(t, sends, news, append(numbered(n-1), "last@x.example")...)
	defer leave(t, s)
	for i, r := range numbered(n - 1) {
		if !s.Has(r) {
			t.Errorf("%d of %d is not noted", i, n)
		}
	}
	equal(t, "last", s.Has("last@x.example"), true)
}

func TestAReadOnlyFolderIsNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sends")
	if err := os.Mkdir(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 { // root may write everywhere: be somebody else on this thread
		if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
			t.Fatal(err)
		}
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		syscall.RawSyscall(syscall.SYS_SETFSUID, 65534, 0, 0)
		defer syscall.RawSyscall(syscall.SYS_SETFSUID, 0, 0, 0)
	}
	refused(t, filepath.Join(dir, "file"), "permission denied")
}
