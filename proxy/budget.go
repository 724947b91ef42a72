package proxy

import "sync/atomic"

// A budget is memory that is shared by all sessions.
type budget struct{ left atomic.Int64 }

// newBudget has so many bytes to share.
func newBudget(bytes int64) *budget {
	b := &budget{}
	b.left.Store(bytes)
	return b
}

// take takes n bytes, if there are so many left.
func (b *budget) take(n int) bool {
	if b.left.Add(int64(-n)) < 0 {
		b.left.Add(int64(n))
		return false
	}
	return true
}

// remains is how many bytes nobody has.
func (b *budget) remains() int64 { return b.left.Load() }

// give gives n bytes back.
func (b *budget) give(n int) { b.left.Add(int64(n)) }

// grow makes the budget n bytes larger, or smaller: then nothing can be taken until
// enough is given back.
func (b *budget) grow(n int64) { b.left.Add(n) }

// A share is what one holder has taken out of a budget.
type share struct {
	of    *budget
	taken int
}

// newShare takes nothing yet.
func newShare(of *budget) *share { return &share{of: of} }

// take takes n bytes more, if there are so many left.
func (s *share) take(n int) bool {
	if !s.of.take(n) {
		return false
	}
	s.taken += n
	return true
}

// giveBack gives all of it back.
func (s *share) giveBack() {
	s.of.give(s.taken)
	s.taken = 0
}
