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

func (e entry) size() int { return recordSize + len(e.hashes) }

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
	now := m.now()
	for _, r := range records {
		if len(r.pending) == 0 {
			continue
		}
		e, ok := m.entries[r.name]
		if !ok || !now.Before(e.until) {
			m.drop(r.name)
			e = entry{until: now.Add(r.life)}
			m.size += e.size()
		}
		e.hashes = append(e.hashes, r.pending...)
		m.size += len(r.pending)
		m.entries[r.name] = e
	}
	return nil
}

func (m *memory) forget(_ context.Context, records []*record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range records {
		m.drop(r.name)
	}
	return nil
}

// drop deletes an entry, if there is one.
func (m *memory) drop(n name) {
	if e, ok := m.entries[n]; ok {
		m.size -= e.size()
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
			m.drop(n)
		}
	}
}

func (m *memory) close() error { return nil }
