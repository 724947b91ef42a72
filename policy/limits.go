package policy

// A Limit is how many addresses may be shown, or Unlimited.
type Limit int

func (l Limit) exceededBy(n int) bool { return l != Unlimited && n > int(l) }

// Unlimited is no limit. Zero is one: nothing may be shown.
const Unlimited Limit = -1
