//go:build unix

package proxy

import (
	"math"
	"syscall"
)

// descriptorLimit is how many this process may have open. The runtime has raised
// the soft limit to the hard one.
func descriptorLimit() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return math.MaxInt32
	}
	return int(min(uint64(limit.Cur), math.MaxInt32))
}
