package unfinished

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// A bolt is the store in a file; pieces.go says how records stand in it. Bucket
// secret has one key, "secret".
type bolt struct {
	running
	path string
	db   *bbolt.DB
	file *os.File // of db
	key  []byte
	now  func() time.Time
	max  int // of size

	mu    sync.Mutex // held over each transaction: a reader would keep pages from being free
	size  int
	swept time.Time
	room  room
}

var (
	secretBucket = []byte("secret")
	secretKey    = []byte("secret")

	errDamaged = errors.New("the file is damaged, or not one of these; what it remembers is lost, remove it to begin anew")
)

// openTimeout is how long another process has to leave the file.
const openTimeout = 2 * time.Second

func openBolt(path string, now func() time.Time) (*bolt, error) {
	b := &bolt{path: path, now: now, max: maxSize}
	err := b.guard(func() (err error) {
		b.db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: openTimeout, OpenFile: b.openFile})
		return err
	})
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.update(b.prepare); err != nil {
		return nil, errors.Join(err, b.db.Close())
	}
	return b, nil
}

// openFile keeps the file that bbolt opens: another opening of it would end the
// lock of some systems when it is closed.
func (b *bolt) openFile(path string, flag int, mode os.FileMode) (file *os.File, err error) {
	b.file, err = os.OpenFile(path, flag, mode)
	return b.file, err
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
	if _, err := tx.CreateBucketIfNotExists(pieceBucket); err != nil {
		return err
	}
	if err := b.convert(tx); err != nil {
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

// update runs one durable transaction. b.mu is held.
func (b *bolt) update(do func(*bbolt.Tx) error) error {
	size, swept := b.size, b.swept
	err := b.guard(func() error { return b.db.Update(do) })
	if err != nil {
		b.size, b.swept = size, swept
	}
	return err
}

func (b *bolt) secret(context.Context) ([]byte, error) { return b.key, nil }

func (b *bolt) load(_ context.Context, records []*record) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.now().Sub(b.swept) >= sweepEvery {
		if err := b.update(b.sweep); err != nil {
			return err
		}
	}
	full := b.size >= b.max
	return b.guard(func() error {
		return b.db.View(func(tx *bbolt.Tx) error {
			for _, r := range records {
				pieces, err := piecesOf(tx, r.name)
				if err != nil {
					return err
				}
				for _, p := range pieces {
					if b.now().Before(p.until) {
						r.know(p.members)
						full = false
					}
				}
			}
			if full {
				return ErrFull
			}
			return nil
		})
	})
}

// apply never fails for want of room where nobody is due: load and reserve have
// seen to it, and a running send has a bounded number of recipients.
func (b *bolt) apply(_ context.Context, changes []change) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	due := 0
	for _, c := range changes {
		due = max(due, len(c.due))
	}
	if due > 0 {
		if err := b.guard(func() error { return b.reserve(due) }); err != nil {
			return err
		}
	}
	return b.update(func(tx *bbolt.Tx) error {
		for _, c := range changes {
			if err := b.change(tx, c); err != nil {
				return err
			}
		}
		return nil
	})
}

// change changes the pieces of a record that have what is to change, and adds
// pieces for what none has. Those that have expired are left to sweep: a note may
// take no more pages than it must.
func (b *bolt) change(tx *bbolt.Tx, c change) error {
	pieces, err := piecesOf(tx, c.name)
	if err != nil {
		return err
	}
	rest, until, next := c.wanted(), b.now().Add(c.life), uint32(0)
	for _, p := range pieces {
		next = p.number() + 1
		if !b.now().Before(p.until) {
			continue
		}
		until = p.until
		if err := b.put(tx, p, p.changed(rest)); err != nil {
			return err
		}
	}
	for members := range slices.Chunk(c.added(rest), pieceSize) {
		if err := b.put(tx, piece{key: pieceKey(c.name, next)}, entry{until, members}); err != nil {
			return err
		}
		next++
	}
	return nil
}

// put writes an entry in place of a piece, or deletes that if it has no members.
// What is as it was is not touched: each page that is copied needs another.
func (b *bolt) put(tx *bbolt.Tx, old piece, e entry) error {
	b.size += e.size() - old.size()
	switch {
	case len(e.members) == 0:
		return tx.Bucket(pieceBucket).Delete(old.key)
	case e.until.Equal(old.until) && slices.Equal(e.members, old.members):
		return nil
	}
	return tx.Bucket(pieceBucket).Put(old.key, e.encode())
}

// sweep deletes what has expired, and measures what is left. On a full disk it
// fails, and Begin with it: nothing goes out that could not be remembered.
func (b *bolt) sweep(tx *bbolt.Tx) error {
	now := b.now()
	b.size = 0
	var expired [][]byte
	pieces := tx.Bucket(pieceBucket)
	err := pieces.ForEach(func(key, value []byte) error {
		p, err := readPiece(key, value)
		switch {
		case err != nil:
			return err
		case now.Before(p.until):
			b.size += p.size()
		default:
			expired = append(expired, p.key)
		}
		return nil
	})
	for _, key := range expired {
		err = errors.Join(err, pieces.Delete(key))
	}
	b.swept = now
	return err
}

func (b *bolt) close() error { return b.guard(b.db.Close) }
