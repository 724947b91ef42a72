package unfinished

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A disk is a real one of a few megabytes, that can be filled.
type disk struct {
	t   *testing.T
	dir string
}

// mountDisk skips the test where it may not mount.
func mountDisk(t *testing.T, megabytes int) *disk {
	t.Helper()
	d := &disk{t, t.TempDir()}
	if err := syscall.Mount("sendguard-test", d.dir, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes)); err != nil {
		t.Skipf("NOT TESTED: cannot mount a small disk (it takes root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(d.dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return d
}

func (d *disk) path() string { return filepath.Join(d.dir, "sends") }

// fill leaves no block free.
func (d *disk) fill() {
	d.t.Helper()
	f, err := os.Create(filepath.Join(d.dir, "filler"))
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		d.t.Fatalf("the disk is not full, but: %v", err)
	}
}

// empty takes away what fill has written.
func (d *disk) empty() {
	d.t.Helper()
	if err := os.Remove(filepath.Join(d.dir, "filler")); err != nil {
		d.t.Fatal(err)
	}
}

func (d *disk) open(t *testing.T) *Sends {
	t.Helper()
	sends, err := Open(t.Context(), "bolt:"+d.path())
	if err != nil {
		t.Fatal(err)
	}
	return sends
}

// The smallest send, which finds the smallest room, and one of the largest.
func TestAFullDiskNotesTheCopiesOfASendThatHasBegun(t *testing.T) {
	for _, n := range []int{1, 3, 33, 1000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			d := mountDisk(t, 64)
			sends := d.open(t)
			all := numbered(n)
			s := begin(t, sends, news, all...)
			d.fill()
			accept(t, s, all[:n/2+1]...)
			// Another larger one needs more than there is.
			mayNotBegin(t, sends, syscall.ENOSPC, another(1), numbered(40*n+3000)...)
			leave(t, s)
			if err := sends.Close(); err != nil {
				t.Fatal(err)
			}
			sends = d.open(t) // as it is after a kill, on a disk that is full still
			opening(t, sends.store)
			d.empty()
			s = begin(t, sends, again, all...)
			for i, r := range all {
				equal(t, r, s.Has(r), i <= n/2)
			}
			d.fill()
			accept(t, s, all[n/2+1:]...)
			finish(t, s)
			d.empty()
			mayNotBegin(t, sends, nil, another(1), numbered(40*n+3000)...)
		})
	}
}

func TestWhatIsNotedOnAFullDiskSurvivesAKill(t *testing.T) {
	d := mountDisk(t, 64)
	var noted []string
	for round := range 10 {
		noted = append(noted, killed(t, d.path(), 2+rand.IntN(40), d.fill)...)
		sends := d.open(t) // the disk is full still
		d.empty()
		hasWhatWasNoted(t, sends, noted, round+1)
		if err := sends.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNothingBeginsOnAFullDiskAndAllGoesOnByItself(t *testing.T) {
	d := mountDisk(t, 4)
	sends := d.open(t)
	opening(t, sends.store)
	d.fill()
	for range 3 {
		mayNotBegin(t, sends, syscall.ENOSPC, news, everybody...)
	}
	d.empty()
	s := begin(t, sends, news)
	equal(t, "known", known(s, everybody...), "")
	finish(t, s)
}

// Sends begin, note, end and begin again in any order, in a file that has been in
// use for long, so that its free pages are scattered, while the disk is full by
// turns. A send may not begin; no other thing fails.
func TestAFullDiskFailsNoSendThatHasBegunWhateverElseRuns(t *testing.T) {
	d := mountDisk(t, 64)
	sends := d.open(t)
	opening(t, sends.store)
	sends.store.(*bolt).db.NoSync = true // which a tmpfs does not need
	random := rand.New(rand.NewPCG(1, 2))
	running, refused, full := map[int]*Send{}, 0, false
	for i := range 6000 {
		if i%300 == 150 {
			d.fill()
			full = true
		} else if i%300 == 0 && full {
			d.empty()
			full = false
		}
		which := random.IntN(400)
		s := running[which]
		if s == nil {
			s, err := sends.Begin(t.Context(), another(which), numbered(1+random.IntN(200)))
			switch {
			case err == nil:
				running[which] = s
			case full && errors.Is(err, syscall.ENOSPC):
				refused++
			default:
				t.Fatalf("step %d: Begin: %v", i, err)
			}
			continue
		}
		for r := range s.due {
			if err := s.Accepted(t.Context(), r); err != nil {
				t.Fatalf("step %d: a note: %v", i, err)
			}
			if random.IntN(4) == 0 {
				break
			}
		}
		if end := random.IntN(3); end > 0 {
			delete(running, which)
			if err := []func(context.Context) error{nil, s.Leave, s.Finish}[end](t.Context()); err != nil {
				t.Fatalf("step %d: the end: %v", i, err)
			}
		}
	}
	for _, s := range running {
		leave(t, s)
	}
	if refused == 0 {
		t.Error("the disk was never full for a send that began")
	}
	stats := sends.store.(*bolt).db.Stats()
	t.Logf("%d sends could not begin; %d pages are free", refused, stats.FreePageN)
}
