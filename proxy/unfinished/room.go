package unfinished

import (
	"go.etcd.io/bbolt"
)

// A room is what is at the end of the file for transactions that must not fail on
// a full disk. bbolt changes no page in place: it writes a copy to a page that is
// free, or to one behind the last, and the old one is free from the next
// transaction on. A transaction that does not make the file's content larger
// so gives back as many pages as it takes, and the room that was enough for one
// is enough for the next. Only what makes it larger, that recipients are due,
// must see to it that the room is there.
//
// bbolt makes a file longer by a hole, which takes no block of the disk until it
// is written. So it is written here.
//
// It is no more than the file system gives: one that itself copies on write may
// be full for an overwrite, too. Then a note fails, and the run ends.
type room struct {
	recipients int   // of the largest send so far
	end        int64 // of what has been written
}

// reserve has the room for a send with so many recipients that are due: to write
// that, to note their copies, and to forget them.
func (b *bolt) reserve(due int) error {
	var last int64 // end of the last page
	err := b.db.View(func(tx *bbolt.Tx) error {
		last = tx.Size()
		return nil
	})
	if err != nil {
		return err
	}
	page := int64(b.db.Info().PageSize)
	b.room.recipients = max(b.room.recipients, due)
	need := last + page*roomPages(last/page, b.room.recipients)
	if need <= b.room.end {
		return nil
	}
	need += page * roomStep
	begin := max(last, b.room.end)
	if _, err := b.file.WriteAt(make([]byte, need-begin), begin); err != nil {
		return err
	}
	if err := b.file.Sync(); err != nil { // some file systems look for the blocks only now
		return err
	}
	b.room.end = need
	return nil
}

// roomPages is how many pages the largest transactions may take.
func roomPages(pages int64, recipients int) int64 {
	// The send is written first, in pieces of pieceSize, of which a page that was
	// split holds three at least; for each of the two records.
	intent := int64(recipients/pieceSize + 16)
	// Then there must be room to forget it. At the worst its pieces are of one
	// recipient each, from as many tries; and a page is joined with the next
	// when it is a quarter full, so that it holds a dozen of them.
	end := int64(recipients/6 + 16)
	// The list of free pages, 8 bytes for each, is the one thing that needs
	// pages in a row: two of them take turns, and two more when it grows.
	list := 4 * (pages/512 + 2)
	return intent + end + list
}

// roomStep keeps the file from growing a little with each send.
const roomStep = 32
