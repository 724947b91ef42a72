package unfinished

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// A piece is a part of a record in the file. The key in bucket pieces is the
// record's name and a number (4 bytes, big-endian); the value, when it expires
// (Unix seconds, 8 bytes, big-endian) and for each recipient 'd' or, with a copy,
// 's', and its hash. All pieces of a record expire at the same time.
//
// They are small so that a page of the file holds some of them: to note a copy
// takes one page for each record and those on the way to it, never several in a
// row, which a file may have no room for though many are free.
type piece struct {
	key []byte
	entry
}

var (
	pieceBucket = []byte("pieces")
	// recordBucket was that of an earlier version, see convert.
	recordBucket = []byte("records")
)

const (
	pieceSize  = 32 // members
	numberSize = 4
	untilSize  = 8
	memberSize = 1 + len(hash{})
)

func pieceKey(n name, number uint32) []byte {
	return binary.BigEndian.AppendUint32(n[:], number)
}

func (p piece) number() uint32 { return binary.BigEndian.Uint32(p.key[len(name{}):]) }

// piecesOf reads the pieces of a record, expired or not.
func piecesOf(tx *bbolt.Tx, n name) (all []piece, err error) {
	c := tx.Bucket(pieceBucket).Cursor()
	for key, value := c.Seek(n[:]); bytes.HasPrefix(key, n[:]); key, value = c.Next() {
		p, err := readPiece(key, value)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// readPiece reads what may not be used after the transaction.
func readPiece(key, value []byte) (piece, error) {
	if len(key) != len(name{})+numberSize || len(value) < untilSize || (len(value)-untilSize)%memberSize != 0 {
		return piece{}, errDamaged
	}
	p := piece{bytes.Clone(key), entry{untilOf(value), make([]member, 0, len(value)/memberSize)}}
	for m := range slices.Chunk(value[untilSize:], memberSize) {
		if m[0] != 'd' && m[0] != 's' {
			return piece{}, errDamaged
		}
		p.members = append(p.members, member{hash: hash(m[1:]), due: m[0] == 'd'})
	}
	return p, nil
}

func untilOf(value []byte) time.Time {
	return time.Unix(int64(binary.BigEndian.Uint64(value)), 0)
}

func (e entry) encode() []byte {
	value := binary.BigEndian.AppendUint64(nil, uint64(e.until.Unix()))
	for _, m := range e.members {
		state := byte('s')
		if m.due {
			state = 'd'
		}
		value = append(append(value, state), m.hash[:]...)
	}
	return value
}

// convert makes pieces of the records that an earlier version left. Their key is
// the name; the value, when they expire and the hashes of those that have a copy.
// That version, where it comes back, finds none: in this form it would take who
// is due for served.
func (b *bolt) convert(tx *bbolt.Tx) error {
	records := tx.Bucket(recordBucket)
	if records == nil {
		return nil
	}
	err := records.ForEach(func(key, value []byte) error {
		if len(key) != len(name{}) || len(value) < untilSize || (len(value)-untilSize)%len(hash{}) != 0 {
			return errDamaged
		}
		left := untilOf(value).Sub(b.now())
		if left <= 0 {
			return nil
		}
		c := change{record: &record{name: name(key), life: left}}
		for h := range slices.Chunk(value[untilSize:], len(hash{})) {
			c.served = append(c.served, hash(h))
		}
		return b.change(tx, c)
	})
	if err != nil {
		return err
	}
	return tx.DeleteBucket(recordBucket)
}
