package unfinished

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// A bolt is the store in a file. The key of bucket records is a record's name;
// the value, when it expires (Unix seconds, 8 bytes, big-endian) and its hashes.
// Bucket secret has one key, "secret".
type bolt struct {
	running
	path string
	db   *bbolt.DB
	key  []byte
	now  func() time.Time
	max  int // of size

	mu    sync.Mutex // held over each transaction that writes
	size  int
	swept time.Time
}

var (
	secretBucket = []byte("secret")
	secretKey    = []byte("secret")
	recordBucket = []byte("records")

	errDamaged = errors.New("the file is damaged, or not one of these; what it remembers is lost, remove it to begin anew")
)

// openTimeout is how long another process has to leave the file.
const openTimeout = 2 * time.Second

func openBolt(path string, now func() time.Time) (*bolt, error) {
	b := &bolt{path: path, now: now, max: maxSize}
	err := b.guard(func() (err error) {
		b.db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: openTimeout})
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := b.update(b.prepare); err != nil {
		return nil, errors.Join(err, b.db.Close())
	}
	return b, nil
}

// prepare makes what a new file lacks, and reads all of an old one once: what
// is damaged is found now.
func (b *bolt) prepare(tx *bbolt.Tx) error {
	secrets, err := tx.CreateBucketIfNotExists(secretBucket)
	if err != nil {
		return err
	}
	if secrets.Get(secretKey) == nil {
		if err := secrets.Put(secretKey, newSecret()); err != nil {
			return err
		}
	}
	b.key = append(b.key, secrets.Get(secretKey)...) // the page goes with the transaction
	if len(b.key) != secretSize {
		return errDamaged
	}
	if _, err := tx.CreateBucketIfNotExists(recordBucket); err != nil {
		return err
	}
	return b.sweep(tx)
}

// guard runs what reads the file, and names the file in its errors. bbolt
// panics at a page that cannot be one, and to read past the end of a file that
// was cut is a memory fault: both are errors here.
func (b *bolt) guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w (%v)", errDamaged, p)
		}
		switch {
		case errors.Is(err, bolterrors.ErrTimeout):
			err = errors.New("the file is in use by another process")
		case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
			err = errDamaged
		}
		if err != nil && !errors.Is(err, ErrFull) {
			err = fmt.Errorf("unfinished sends in %s: %w", filepath.Clean(b.path), err)
		}
	}()
	return do()
}

// update runs one durable transaction.
func (b *bolt) update(do func(*bbolt.Tx) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	size, swept := b.size, b.swept
	err := b.guard(func() error { return b.db.Update(do) })
	if err != nil {
		b.size, b.swept = size, swept
	}
	return err
}

func (b *bolt) secret(context.Context) ([]byte, error) { return b.key, nil }

func (b *bolt) load(_ context.Context, records []*record) error {
	if err := b.sweepIfDue(); err != nil {
		return err
	}
	b.mu.Lock()
	full := b.size >= b.max
	b.mu.Unlock()
	return b.guard(func() error {
		return b.db.View(func(tx *bbolt.Tx) error {
			for _, r := range records {
				e, err := b.get(tx, r.name)
				if err != nil {
					return err
				}
				if b.now().Before(e.until) {
					r.know(e.hashes)
					full = false
				}
			}
			if full {
				return ErrFull
			}
			return nil
		})
	})
}

// add never fails for want of room: load has seen to it, and a running send
// has a bounded number of recipients.
func (b *bolt) add(_ context.Context, records []*record) error {
	return b.update(func(tx *bbolt.Tx) error {
		for _, r := range records {
			if len(r.pending()) == 0 {
				continue
			}
			e, err := b.get(tx, r.name)
			if err != nil {
				return err
			}
			if err := b.put(tx, r.name, e, e.with(r, b.now())); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *bolt) forget(_ context.Context, records []*record) error {
	return b.update(func(tx *bbolt.Tx) error {
		for _, r := range records {
			e, err := b.get(tx, r.name)
			if err != nil {
				return err
			}
			if err := b.put(tx, r.name, e, e.without(r.own)); err != nil {
				return err
			}
		}
		return nil
	})
}

// get reads a record, expired or not. One that is not there is empty.
func (b *bolt) get(tx *bbolt.Tx, n name) (entry, error) {
	value := tx.Bucket(recordBucket).Get(n[:])
	if value == nil {
		return entry{}, nil
	}
	return decode(value)
}

// put writes a record in place of an old one, or deletes it if it has no hashes.
func (b *bolt) put(tx *bbolt.Tx, n name, old, e entry) error {
	b.size += e.size() - old.size()
	if len(e.hashes) == 0 {
		return tx.Bucket(recordBucket).Delete(n[:])
	}
	return tx.Bucket(recordBucket).Put(n[:], e.encode())
}

func (b *bolt) sweepIfDue() error {
	b.mu.Lock()
	due := b.now().Sub(b.swept) >= sweepEvery
	b.mu.Unlock()
	if !due {
		return nil
	}
	return b.update(b.sweep)
}

// sweep deletes what has expired, and measures what is left. On a full disk it
// fails, and Begin with it: nothing goes out that could not be remembered.
func (b *bolt) sweep(tx *bbolt.Tx) error {
	now := b.now()
	b.size = 0
	var expired [][]byte
	records := tx.Bucket(recordBucket)
	err := records.ForEach(func(key, value []byte) error {
		e, err := decode(value)
		switch {
		case err != nil:
			return err
		case len(key) != len(name{}):
			return errDamaged
		case now.Before(e.until):
			b.size += e.size()
		default:
			expired = append(expired, bytes.Clone(key))
		}
		return nil
	})
	for _, key := range expired {
		err = errors.Join(err, records.Delete(key))
	}
	b.swept = now
	return err
}

func (b *bolt) close() error { return b.guard(b.db.Close) }

const untilSize = 8

func (e entry) encode() []byte {
	value := binary.BigEndian.AppendUint64(nil, uint64(e.until.Unix()))
	for _, h := range e.hashes {
		value = append(value, h[:]...)
	}
	return value
}

func decode(value []byte) (entry, error) {
	if len(value) < untilSize || (len(value)-untilSize)%len(hash{}) != 0 {
		return entry{}, errDamaged
	}
	e := entry{until: time.Unix(int64(binary.BigEndian.Uint64(value)), 0)}
	for rest := value[untilSize:]; len(rest) > 0; rest = rest[len(hash{}):] {
		e.hashes = append(e.hashes, hash(rest))
	}
	return e, nil
}
