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
			r.know(e.members)
			found = true
		}
	}
	if !found && m.size >= m.max {
		return ErrFull
	}
	return nil
}

// apply never fails for want of room: load has seen to it, and a running send
// has a bounded number of recipients.
func (m *memory) apply(_ context.Context, changes []change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range changes {
		e := m.entries[c.name]
		if !m.now().Before(e.until) {
			e = entry{until: m.now().Add(c.life)}
		}
		rest := c.wanted()
		e = e.changed(rest)
		e.members = append(e.members, c.added(rest)...)
		m.put(c.name, e)
	}
	return nil
}

// put keeps an entry, or deletes the one that was there if it has no members.
func (m *memory) put(n name, e entry) {
	m.size += e.size() - m.entries[n].size()
	m.entries[n] = e
	if len(e.members) == 0 {
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
