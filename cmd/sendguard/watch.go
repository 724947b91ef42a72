package main

import (
	"time"

	"sendguard/cmd/sendguard/config"
)

// A watch finds out that the configuration has changed by looking at it again and
// again. Notifications by the system would come sooner, and not at all from network
// file systems, from a link whose target changes in another folder, and where the
// system has no watches left.
type watch struct {
	on     bool
	loaded config.Mark // what the last load found, be it right or wrong
	seen   config.Mark // by the last look
	unrest int         // looks since then that found something else than what is loaded
}

const (
	lookEvery  = time.Second
	mostUnrest = 10 // looks; then a file that never comes to rest is loaded as it is
)

// next is when to look next; never where the watch is off.
func (w *watch) next() <-chan time.Time {
	if !w.on {
		return nil
	}
	return time.After(lookEvery)
}

// loads notes what is being loaded.
func (w *watch) loads(found config.Mark) { w.loaded, w.seen, w.unrest = found, found, 0 }

// changed takes what a look has found, and reports whether it is to be loaded: when
// it is not what was loaded last and two looks have found the same, so that a file
// is not read while it is being written, or a certificate without its key.
func (w *watch) changed(found config.Mark) bool {
	atRest := found == w.seen
	w.seen = found
	if found == w.loaded {
		w.unrest = 0
		return false
	}
	w.unrest++
	return atRest || w.unrest >= mostUnrest
}
