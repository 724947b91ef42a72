package container

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
)

func TestTooManyMembersAreOver(t *testing.T) {
	var file []byte
	for i := range maxMembers {
		file = (&entry{name: "a", data: fmt.Sprint(i), stored: true}).append(file)
	}
	if s := read(file, 1000); s.bounds.Over() || len(s.members) != maxMembers {
		t.Errorf("over %v with %d members", s.bounds.Over(), len(s.members))
	}
	file = (&entry{name: "a", data: "one more"}).append(file)
	if s := read(file, 1000); !s.bounds.Over() || len(s.members) != maxMembers {
		t.Errorf("over %v with %d members", s.bounds.Over(), len(s.members))
	}
}

func TestWhatUnpacksToTooMuchIsOver(t *testing.T) {
	flat := func(n int) []byte { return write(entry{name: "a", data: strings.Repeat("\x00", n)}) }
	for name, c := range map[string]struct {
		file []byte
		sent int // beside the file
		over bool
	}{
		"a hundred times as much":  {flat(1 << 20), 10 << 10, false},
		"a thousand times as much": {flat(1 << 20), 0, true},
		"the same, in gzip":        {gzipped(strings.Repeat("\x00", 1<<20)), 0, true},
		"a megabyte, nested":       {write(entry{name: "a", data: string(flat(1 << 20)), stored: true}), 0, true},
	} {
		s := &seen{bounds: NewBounds(nil)}
		s.bounds.Sent(c.sent + len(c.file))
		to := s.bounds.Zip(0, Readers{Member: func(level int, _ bool) io.WriteCloser { return s.bounds.Zip(level, s.readers()) }, Text: s.readers().Text})
		if IsGzip(c.file) {
			to = s.bounds.Gzip(0, Readers{Member: func(int, bool) io.WriteCloser { return nopCloser{io.Discard} }, Text: s.readers().Text})
		}
		to.Write(c.file)
		to.Close()
		if s.bounds.OverAtEnd() != c.over {
			t.Errorf("%s: over %v", name, !c.over)
		}
		s.bounds.Close()
	}
}

// TestTheMostIsUnpackedWhateverIsSent: to the byte, in all containers together.
func TestTheMostIsUnpackedWhateverIsSent(t *testing.T) {
	b := NewBounds(nil)
	b.Sent(1 << 30)
	discard := func() io.WriteCloser { return nopCloser{io.Discard} }
	r := Readers{Member: func(int, bool) io.WriteCloser { return discard() }, Text: discard}
	megabyte := gzipped(strings.Repeat("\x00", 1<<20))
	unpack := func(file []byte) {
		to := b.Gzip(0, r)
		to.Write(file)
		to.Close()
	}
	unpack(bytes.Repeat(megabyte, maxUnpacked>>20))
	if b.OverAtEnd() {
		t.Error("the most is too much")
	}
	if unpack(gzipped("x")); !b.Over() {
		t.Error("one byte more is not")
	}
}

// TestWhatComesLaterMayMakeUpForAStartThatUnpacksToMuch: a picture without anything in
// it stands in many documents.
func TestWhatComesLaterMayMakeUpForAStartThatUnpacksToMuch(t *testing.T) {
	file := write(entry{name: "a", data: strings.Repeat("\x00", slack-1<<20)}, entry{name: "b", data: string(noise(200 << 10))})
	b := NewBounds(nil)
	s := &seen{bounds: b}
	to := b.Zip(0, s.readers())
	for len(file) > 0 {
		n := min(len(file), 1000)
		b.Sent(n)
		to.Write(file[:n])
		file = file[n:]
	}
	to.Close()
	if b.OverAtEnd() || len(s.members) != 2 {
		t.Errorf("over with %d members", len(s.members))
	}
}

func TestMemoryIsAskedForBeforeAContainerIsOpened(t *testing.T) {
	asked, left := 0, 2*unpackerMemory
	b := NewBounds(func(n int) bool {
		asked++
		left -= n
		return left >= 0
	})
	s := &seen{bounds: b}
	b.Sent(1 << 20)
	two := write(entry{name: "a", data: string(write(entry{name: "b", data: "x"}))})
	for range 3 { // one after the other
		to := b.Zip(0, s.readers())
		to.Write(two)
		to.Close()
	}
	if asked != 2 || b.Starved() {
		t.Errorf("asked %d times, starved %v", asked, b.Starved())
	}
	to := b.Zip(0, s.readers())
	to.Write(write(entry{name: "a", data: string(two)}))
	to.Close()
	if !b.Starved() {
		t.Error("there is memory for a third one")
	}
	b.Close()
}

// TestAnUnpackerHoldsLessThanIsAskedFor: with the stack of its coroutine.
func TestAnUnpackerHoldsLessThanIsAskedFor(t *testing.T) {
	const n = 100
	held := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc + m.StackInuse)
	}
	before := held()
	b := NewBounds(nil)
	b.Sent(1 << 30)
	file := write(entry{name: "a", data: string(noise(100 << 10))})
	discard := func() io.WriteCloser { return nopCloser{io.Discard} }
	for range n {
		b.Zip(0, Readers{Member: func(int, bool) io.WriteCloser { return discard() }, Text: discard}).Write(file[:len(file)/2])
	}
	if each := (held() - before) / n; each > unpackerMemory/2 {
		t.Errorf("%d bytes each", each)
	}
	b.Close()
}

// TestCloseEndsWhatIsOpen: in mid-member, at every level, and where a reader panics.
// What is left over is a coroutine, which TestMain finds.
func TestCloseEndsWhatIsOpen(t *testing.T) {
	file := noise(400 << 10)
	for level := range maxLevels {
		file = write(entry{name: "inner", data: string(file), stored: level%2 == 0})
	}
	s := &seen{bounds: NewBounds(nil)}
	s.bounds.Sent(len(file))
	s.bounds.Zip(0, s.readers()).Write(file[:len(file)/2])
	if len(s.bounds.open) != maxLevels {
		t.Fatalf("%d are open", len(s.bounds.open))
	}
	s.bounds.Close()
	if len(s.bounds.open) != 0 {
		t.Errorf("%d are open", len(s.bounds.open))
	}

	b := NewBounds(nil)
	b.Sent(len(file))
	r := Readers{Text: s.readers().Text}
	r.Member = func(level int, _ bool) io.WriteCloser {
		if level < 3 {
			return b.Zip(level, r)
		}
		panic("a mistake")
	}
	b.Zip(0, Readers{Member: func(int, bool) io.WriteCloser { return &member{} }, Text: r.Text}).Write(file[:len(file)/2]) // beside it
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was lost")
			}
		}()
		b.Zip(0, r).Write(file)
	}()
	b.Close()
}

// TestPiecesMakeNoDifference: nor does anything else than the bytes.
func TestPiecesMakeNoDifference(t *testing.T) {
	inner := write(entry{name: "in", data: names(500), stored: true, descriptor: "unsigned"})
	file := write(entry{name: "a", data: string(inner)}, entry{name: "b", data: names(9)}, entry{name: "c", data: "x", flags: flagEncrypted, stored: true})
	file = append(file[:len(file)-100], noise(10_000)...)
	want := read(file, len(file))
	for _, n := range []int{1, 2, 3, 7, 57, 100, 4095, 4096, 4097} {
		got := read(file, n)
		if !same(got, want) {
			t.Errorf("in pieces of %d: %d members, as a whole %d", n, len(got.members), len(want.members))
		}
	}
}

func same(a, b *seen) bool {
	if len(a.members) != len(b.members) || !bytes.Equal(a.outside.Bytes(), b.outside.Bytes()) ||
		a.bounds.found != b.bounds.found || a.bounds.over != b.bounds.over || a.bounds.unpacked != b.bounds.unpacked {
		return false
	}
	for i, m := range a.members {
		if !bytes.Equal(m.Bytes(), b.members[i].Bytes()) {
			return false
		}
	}
	return true
}
