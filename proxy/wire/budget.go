package wire

import "sync/atomic"

// A Budget is memory that is shared by all sessions.
type Budget struct{ left atomic.Int64 }

// NewBudget has so many bytes to share.
func NewBudget(bytes int64) *Budget {
	b := &Budget{}
	b.left.Store(bytes)
	return b
}

// Take takes n bytes, if there are so many left.
func (b *Budget) Take(n int) bool {
	if b.left.Add(int64(-n)) < 0 {
		b.left.Add(int64(n))
		return false
	}
	return true
}

// Left is how many bytes nobody has.
func (b *Budget) Left() int64 { return b.left.Load() }

// Give gives n bytes back.
func (b *Budget) Give(n int) { b.left.Add(int64(n)) }

// Grow makes the budget n bytes larger, or smaller: then nothing can be taken until
// enough is given back.
func (b *Budget) Grow(n int64) { b.left.Add(n) }

// A Share is what one holder has taken out of a budget.
type Share struct {
	of    *Budget
	taken int
}

// NewShare takes nothing yet.
func NewShare(of *Budget) *Share { return &Share{of: of} }

// Take takes n bytes more, if there are so many left.
func (s *Share) Take(n int) bool {
	if !s.of.Take(n) {
		return false
	}
	s.taken += n
	return true
}

// GiveBack gives all of it back.
func (s *Share) GiveBack() {
	s.of.Give(s.taken)
	s.taken = 0
}
