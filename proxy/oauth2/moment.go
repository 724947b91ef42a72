package oauth2

import "time"

// A moment is what both clocks of a machine say: the one that cannot be set, and
// stands still while the machine sleeps, and the one that goes on, and may be set.
type moment struct {
	up   time.Duration
	wall time.Time
}

var began = time.Now()

func present() moment {
	now := time.Now()
	return moment{now.Sub(began), now.Round(0)}
}

// since is how long ago another moment was: the clock that says more is right.
func (m moment) since(earlier moment) time.Duration {
	return max(m.up-earlier.up, m.wall.Sub(earlier.wall))
}
