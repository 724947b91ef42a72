package unfinished

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"time"
)

// How long a send is remembered, from its first copy on: mail servers try for
// five days under one Message-ID; a person who presses Send again, and gets a
// new one, does so soon.
const (
	idLife      = 6 * 24 * time.Hour
	contentLife = 30 * time.Minute
)

// A Message says which message a send is of.
type Message struct {
	Route, Sender string
	ID            string // Message-ID, "" where there is none
	Subject       string
	Content       [32]byte // digest of the content
}

// records returns the records that a message is known by, for a Send to
// recipients that knows nothing yet.
func (m Message) records(secret []byte, recipients []string) []*record {
	all := []*record{newRecord(secret, contentLife, "content", m.Route, m.Sender, m.Subject, string(m.Content[:]))}
	if m.ID != "" {
		all = slices.Insert(all, 0, newRecord(secret, idLife, "id", m.Route, m.Sender, m.ID, m.Subject, string(m.Content[:])))
	}
	for _, r := range all {
		for _, to := range recipients {
			r.own[r.hash(to)] = true
		}
	}
	return all
}

type (
	name [sha256.Size]byte
	hash [16]byte // collides by chance once in 2^64 recipients of one record
)

// A record is what a Send knows under one of its names.
type record struct {
	secret []byte
	raw    []byte // what the name is made of, never stored
	name   name
	life   time.Duration

	own    map[hash]bool // recipients that the Send is for
	known  map[hash]bool // recipients that have a copy
	noted  []hash        // those of them that the Send itself has told of
	stored int           // how many of noted the store has
}

// A change is what is to be done to one record.
type change struct {
	*record
	due    []hash // are written as such, unless they are there already
	served []hash // are due no longer; only those that are not there are written, as served
	left   []hash // are taken out if they are due still
	gone   []hash // are taken out
}

// forgotten is the change that takes out all that the Send is for.
func (r *record) forgotten() change {
	return change{record: r, gone: slices.Collect(maps.Keys(r.own))}
}

func (c change) empty() bool { return len(c.due)+len(c.served)+len(c.left)+len(c.gone) == 0 }

func newRecord(secret []byte, life time.Duration, fields ...string) *record {
	r := &record{secret: secret, life: life, own: map[hash]bool{}, known: map[hash]bool{}}
	for _, f := range fields {
		r.raw = appendField(r.raw, f)
	}
	copy(r.name[:], keyed(secret, r.raw))
	return r
}

// appendField puts the length before a field, so that no two lists of fields
// read the same.
func appendField(b []byte, field string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(field))), field...)
}

func keyed(secret, data []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write(data)
	return h.Sum(nil)
}

// hash returns what stands for a recipient in this record, and in no other.
func (r *record) hash(recipient string) hash {
	return hash(keyed(r.secret, appendField(r.raw[:len(r.raw):len(r.raw)], recipient)))
}

// know takes in what a store has: who is due has no copy.
func (r *record) know(members []member) {
	for _, m := range members {
		if !m.due {
			r.known[m.hash] = true
		}
	}
}

// note takes in a recipient that the store is still to be told of.
func (r *record) note(recipient string) {
	h := r.hash(recipient)
	if !r.known[h] {
		r.known[h] = true
		r.noted = append(r.noted, h)
	}
}

// pending are those that the store is still to be told of.
func (r *record) pending() []hash { return r.noted[r.stored:] }

const secretSize = 32

func newSecret() []byte {
	secret := make([]byte, secretSize)
	rand.Read(secret) // never fails
	return secret
}

// maxSize bounds the records of one process, in hashes of 16 bytes. A record
// costs some more than its hashes; so about 25 MB in memory, or in a file.
const (
	maxSize    = 1 << 20
	recordSize = 8
)

// sweepEvery is how often expired records are looked for.
const sweepEvery = 10 * time.Minute
