package unfinished

import (
	"context"
	"sync"
	"time"
)

// A memory is the store that ends with the process.
type memory struct {
	running
	key []byte
	now func() time.Time
	max int // of size

	mu      sync.Mutex
	entries map[name]entry
	size    int
	swept   time.Time
}

// An entry is a record as memory and file keep it.
type entry struct {
	until  time.Time
	hashes []hash
}

func (e entry) size() int {
	if len(e.hashes) == 0 {
		return 0 // is not kept
	}
	return recordSize + len(e.hashes)
}

// with is e and what is pending in r, each hash once. Where e has expired or
// never was, it is a new one.
func (e entry) with(r *record, now time.Time) entry {
	if !now.Before(e.until) {
		e = entry{until: now.Add(r.life)}
	}
	pending := map[hash]bool{}
	for _, h := range r.pending() {
		pending[h] = true
	}
	e = e.without(pending)
	e.hashes = append(e.hashes, r.pending()...)
	return e
}

// without is e less some recipients, in no more memory than it needs.
func (e entry) without(recipients map[hash]bool) entry {
	rest := entry{until: e.until}
	for _, h := range e.hashes {
		if !recipients[h] {
			rest.hashes = append(rest.hashes, h)
		}
	}
	return rest
}

func openMemory(now func() time.Time) *memory {
	return &memory{key: newSecret(), now: now, max: maxSize, entries: map[name]entry{}, swept: now()}
}

func (m *memory) secret(context.Context) ([]byte, error) { return m.key, nil }

func (m *memory) load(_ context.Context, records []*record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep()
	found := false
	for _, r := range records {
		if e, ok := m.entries[r.name]; ok && m.now().Before(e.until) {
			r.know(e.hashes)
			found = true
		}
	}
	if !found && m.size >= m.max {
		return ErrFull
	}
	return nil
}

// add never fails for want of room: load has seen to it, and a running send
// has a bounded number of recipients.
func (m *memory) add(_ context.Context, records []*record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range records {
		if len(r.pending()) > 0 {
			m.put(r.name, m.entries[r.name].with(r, m.now()))
		}
	}
	return nil
}

func (m *memory) forget(_ context.Context, records []*record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range records {
		m.put(r.name, m.entries[r.name].without(r.own))
	}
	return nil
}

// put keeps an entry, or deletes the one that was there if it has no hashes.
func (m *memory) put(n name, e entry) {
	m.size += e.size() - m.entries[n].size()
	m.entries[n] = e
	if len(e.hashes) == 0 {
		delete(m.entries, n)
	}
}

// sweep drops what has expired, now and then.
func (m *memory) sweep() {
	now := m.now()
	if now.Sub(m.swept) < sweepEvery {
		return
	}
	m.swept = now
	for n, e := range m.entries {
		if !now.Before(e.until) {
			m.put(n, entry{})
		}
	}
}

func (m *memory) close() error { return nil }
