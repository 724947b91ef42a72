package unfinished

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// piecesIn reads the whole file.
func piecesIn(t *testing.T, b *bolt) (all []piece) {
	t.Helper()
	err := b.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(pieceBucket).ForEach(func(key, value []byte) error {
			p, err := readPiece(key, value)
			all = append(all, p)
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestTheFileIsForItsOwnerAndSurvivesAReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sends")
	for range 2 {
		sends, err := Open(t.Context(), "bolt:"+path)
		if err != nil {
			t.Fatal(err)
		}
		s := begin(t, sends, news)
		accept(t, s, everybody[0])
		leave(t, s)
		if err := sends.Close(); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "mode", info.Mode().Perm(), os.FileMode(0o600))
}

func TestExpiredRecordsLeaveTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sends")
	c := newClock()
	for _, wait := range []time.Duration{0, idLife} {
		c.advance(wait)
		f, err := openBolt(path, c.now)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "size at open", f.size, 0)
		sends := &Sends{f}
		s := begin(t, sends, news)
		accept(t, s, everybody...)
		leave(t, s)
		equal(t, "size", f.size, 2*(recordSize+3))
		c.advance(sweepEvery + contentLife)
		leave(t, begin(t, sends, Message{}))
		equal(t, "size without the content", f.size, recordSize+3)
		if err := sends.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNothingReadableStandsInTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sends")
	sends, err := Open(t.Context(), "bolt:"+path)
	if err != nil {
		t.Fatal(err)
	}
	s := begin(t, sends, news)
	accept(t, s, everybody...)
	leave(t, s)
	if err := sends.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if one := s.records[0].hash(everybody[0]); !bytes.Contains(file, one[:]) {
		t.Error("the file lacks even the hashes: this test looks in the wrong place")
	}
	unreadable(t, file)
}

// unreadable fails where a store shows something of news and its recipients.
func unreadable(t *testing.T, stored []byte) {
	t.Helper()
	for _, word := range append(everybody, news.Sender, news.ID, news.Subject, "example", string(news.Content[:])) {
		if bytes.Contains(stored, []byte(word)) {
			t.Errorf("%q stands in the store", word)
		}
	}
}

func TestAFileThatCannotBeUsedIsNamed(t *testing.T) {
	t.Parallel() // with others that wait
	dir := t.TempDir()
	used := filepath.Join(dir, "used")
	sends, err := Open(t.Context(), "bolt:"+used)
	if err != nil {
		t.Fatal(err)
	}
	opening(t, sends.store)
	for name, c := range map[string]struct{ path, want string }{
		"in use":    {used, "is in use by another process"},
		"no folder": {filepath.Join(dir, "none", "sends"), "no such file or directory"},
		"a folder":  {dir, "is a directory"},
		"text":      {written(t, dir, "text", []byte(strings.Repeat("Dear all, ", 2000))), "damaged"},
		"short":     {written(t, dir, "short", []byte("no")), "damaged"},
		"zeros":     {written(t, dir, "zeros", make([]byte, 1<<16)), "damaged"},
	} {
		t.Run(name, func(t *testing.T) { refused(t, c.path, c.want) })
	}
}

func written(t *testing.T, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// refused opens a file that must not open, and looks at the words.
func refused(t *testing.T, path, want string) {
	t.Helper()
	sends, err := Open(t.Context(), "bolt:"+path)
	if err == nil {
		sends.Close()
		t.Fatal("it opened")
	}
	if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %q, and should have %q and %q", err, path, want)
	}
}

// A disk does strange things. Whatever it did, the file opens, or the error
// says so: no panic, no memory fault.
func TestADamagedFileIsToldOrRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "whole")
	sends, err := Open(t.Context(), "bolt:"+path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		m := news
		m.ID, m.Subject = fmt.Sprint(i), fmt.Sprint(i)
		s := begin(t, sends, m, numbered(20)...)
		for _, r := range numbered(20) {
			s.records[0].note(r)
		}
		leave(t, s)
	}
	if err := sends.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	page := os.Getpagesize()
	for at := 0; at < len(whole); at += page {
		zeros := bytes.Clone(whole)
		clear(zeros[at : at+page])
		noise := bytes.Clone(whole)
		for i := range page {
			noise[at+i] = byte(i*7 + at)
		}
		for _, content := range [][]byte{zeros, noise, whole[:at]} {
			if at == 0 && len(content) == 0 {
				continue // an empty file is a new one
			}
			bad := written(t, dir, fmt.Sprintf("bad%d", told), content)
			sends, err := Open(t.Context(), "bolt:"+bad)
			if err != nil {
				told++
				if !strings.Contains(err.Error(), bad) || !strings.Contains(err.Error(), "damaged") && !strings.Contains(err.Error(), "size too small") {
					t.Errorf("page %d: the error is %q", at/page, err)
				}
				continue
			}
			s := begin(t, sends, news)
			if err := s.Accepted(t.Context(), everybody[0]); err != nil && !strings.Contains(err.Error(), bad) {
				t.Errorf("page %d: the error is %q", at/page, err)
			}
			s.Leave(t.Context())
			if err := sends.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if told == 0 {
		t.Error("no damage was told of")
	}
}
