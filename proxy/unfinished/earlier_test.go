package unfinished

import (
	"encoding/binary"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// The version before this one had no recipients that are due. In a file, a record
// was its name, when it expires, and the hashes of those that have a copy; in a
// redis, a set of these hashes. Whoever installs the new version in mid-send must
// not send it twice.

func TestAFileOfTheEarlierVersionIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sends")
	c := newClock()
	secret, all := newSecret(), numbered(100)
	old := news.records(secret, nil)
	gone := another(1).records(secret, nil)
	earlierFile(t, path, secret, func(put func(*record, time.Time, ...string)) {
		put(old[0], c.now().Add(time.Hour), all[:70]...)
		put(old[1], c.now().Add(time.Minute), all[:70]...)
		put(gone[0], c.now(), all...)
	})
	for range 2 { // it is changed at the first opening
		f, err := openBolt(path, c.now)
		if err != nil {
			t.Fatal(err)
		}
		b := &bench{t: t, sends: &Sends{f}}
		b.checkSize()
		equal(t, "what has expired", b.has(another(1), all...), "")
		for _, m := range []Message{news, again} {
			s := b.begin(m, all...)
			for i, r := range all {
				equal(t, r, s.Has(r), i < 70)
			}
			leave(t, s)
		}
		if err := f.close(); err != nil {
			t.Fatal(err)
		}
	}
	c.advance(2 * time.Minute)
	f, err := openBolt(path, c.now)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, sends: opening(t, f)}
	s := b.begin(news, all...)
	accept(t, s, all[70:]...)
	finish(t, s)
	equal(t, "known when all have a copy", b.has(news, all...), "")
	b.checkSize()
}

// Back to the earlier version in mid-send, and to this one again: some have a copy
// by one of them, some by both, and nobody stands in the file twice.
func TestAFileThatBothVersionsWroteIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sends")
	c, all := newClock(), numbered(100)
	open := func() *bench {
		f, err := openBolt(path, c.now)
		if err != nil {
			t.Fatal(err)
		}
		return &bench{t: t, sends: &Sends{f}}
	}
	b := open()
	b.abandoned(news, all, all[:10]...)
	secret := b.sends.store.(*bolt).key
	if err := b.sends.Close(); err != nil {
		t.Fatal(err)
	}
	earlierFile(t, path, secret, func(put func(*record, time.Time, ...string)) {
		put(news.records(secret, nil)[0], c.now().Add(time.Hour), all[5:20]...)
	})
	b = open()
	opening(t, b.sends.store)
	b.checkSize()
	s := b.begin(news, all...)
	for i, r := range all {
		equal(t, r, s.Has(r), i < 20)
	}
	accept(t, s, all[20:]...)
	finish(t, s)
	equal(t, "known when all have a copy", b.has(news, all...), "")
	equal(t, "size", b.sends.store.(*bolt).size, 0)
}

// earlierFile writes what that version did.
func earlierFile(t *testing.T, path string, secret []byte, fill func(put func(*record, time.Time, ...string))) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *bbolt.Tx) error {
		secrets, err := tx.CreateBucketIfNotExists([]byte("secret"))
		if err != nil {
			return err
		}
		if err := secrets.Put([]byte("secret"), secret); err != nil {
			return err
		}
		records, err := tx.CreateBucket([]byte("records"))
		fill(func(r *record, until time.Time, recipients ...string) {
			value := binary.BigEndian.AppendUint64(nil, uint64(until.Unix()))
			for _, to := range recipients {
				h := r.hash(to)
				value = append(value, h[:]...)
			}
			if err == nil {
				err = records.Put(r.name[:], value)
			}
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestARedisOfTheEarlierVersionIsRead(t *testing.T) {
	server := startRedis(t)
	sends := server.open(t)
	secret, err := sends.store.secret(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := numbered(10)
	for i, key := range keysOf("sent:", news.records(secret, nil)) {
		for _, to := range all[:7] {
			h := news.records(secret, nil)[i].hash(to)
			server.do("SADD", key, h[:])
		}
		server.do("EXPIRE", key, 600)
	}
	for _, m := range []Message{news, again} {
		s := begin(t, sends, m, all...)
		for i, r := range all {
			equal(t, r, s.Has(r), i < 7)
		}
		leave(t, s)
	}
	// A replica of that version notes a copy of one that is due to this one.
	s := begin(t, sends, news, all...)
	h := s.records[0].hash(all[7])
	server.do("SADD", keysOf("sent:", s.records)[0], h[:])
	s.lock.lapsed.Store(true) // so that what is due stays
	leave(t, s)
	s = begin(t, sends, news, all...)
	equal(t, "noted by the other version", s.Has(all[7]), true)
	equal(t, "still due", s.Has(all[8]), false)
	accept(t, s, all[8:]...)
	finish(t, s)
	s = begin(t, sends, news, all...)
	equal(t, "known when all have a copy", known(s, all...), "")
	leave(t, s)
}

// A replica of the earlier version reads whole hashes only: it must not take an
// intent for a copy.
func TestTheEarlierVersionTakesNoIntentForACopy(t *testing.T) {
	server := startRedis(t)
	s := begin(t, server.open(t), news)
	for _, key := range server.keys("sent:*") {
		for _, m := range server.client.SMembers(t.Context(), key).Val() {
			if len(m) == len(hash{}) {
				t.Errorf("%q reads as a copy", m)
			}
		}
	}
	leave(t, s)
}
