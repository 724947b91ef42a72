package unfinished

import (
	"context"
	"maps"
	"sync"
)

// running are the recipients of the sends that run in this process, by the names
// of the records: the lock of the stores that no other process uses.
type running struct {
	mu  sync.Mutex
	own map[name]map[hash]bool
}

func (r *running) lock(_ context.Context, records []*record) (*lock, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rec := range records {
		taken := r.own[rec.name]
		for h := range rec.own {
			if taken[h] {
				return nil, ErrRunning
			}
		}
	}
	if r.own == nil {
		r.own = map[name]map[hash]bool{}
	}
	for _, rec := range records {
		if r.own[rec.name] == nil {
			r.own[rec.name] = map[hash]bool{}
		}
		maps.Copy(r.own[rec.name], rec.own)
	}
	return &lock{end: func(context.Context) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, rec := range records {
			r.release(rec)
		}
		return nil
	}}, nil
}

func (r *running) release(rec *record) {
	taken := r.own[rec.name]
	for h := range rec.own {
		delete(taken, h)
	}
	if len(taken) == 0 {
		delete(r.own, rec.name)
	}
}
