package unfinished

import (
	"context"
	"sync"
)

// running are the names of the sends that run in this process: the lock of the
// stores that no other process uses.
type running struct {
	mu    sync.Mutex
	names map[name]bool
}

func (r *running) lock(_ context.Context, records []*record) (*lock, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rec := range records {
		if r.names[rec.name] {
			return nil, ErrRunning
		}
	}
	if r.names == nil {
		r.names = map[name]bool{}
	}
	for _, rec := range records {
		r.names[rec.name] = true
	}
	return &lock{end: func(context.Context) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, rec := range records {
			delete(r.names, rec.name)
		}
		return nil
	}}, nil
}
