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
// copies, fails to begin a larger send, has room again, and ends well if that can
// begin then.
func acceptOnAFullDisk(s *Send, path string) int {
	signal.Ignore(syscall.SIGXFSZ) // the write fails then
	var old syscall.Rlimit
	info, err := os.Stat(path)
	if err == nil {
		err = syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old)
	}
	if err == nil {
		err = syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: uint64(info.Size()), Max: old.Max})
	}
	for _, r := range numbered(400) {
		if err == nil {
			err = s.Accepted(context.Background(), r)
		}
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	sends := &Sends{s.store}
	_, err = sends.Begin(context.Background(), edited, numbered(40000))
	fmt.Println(err)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		fmt.Println(err)
		return 1
	}
	if _, err := sends.Begin(context.Background(), edited, numbered(40000)); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// Without the rights to mount a disk of one's own.
func TestAFileThatCannotGrowNotesTheCopiesOfASendThatHasBegun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sends")
	ctx, cancel := context.WithTimeout(t.Context(), 6*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "UNFINISHED_CHILD=full:"+path)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if said := string(out); !strings.Contains(said, path) || !strings.Contains(said, "file too large") {
		t.Errorf("the error is %q, and should name the file and what is wrong", said)
	}
	sends, err := Open(t.Context(), "bolt:"+path)
	if err != nil {
		t.Fatal(err)
	}
	opening(t, sends.store)
	s := begin(t, sends, news, numbered(4000)...)
	defer leave(t, s)
	for i, r := range numbered(4000) {
		equal(t, r, s.Has(r), i < 400)
	}
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
