//go:build !unix

package main

import "errors"

// beFound does nothing: there is no signal to be found for.
func beFound(string) (release func(), err error) { return func() {}, nil }

func hangUp(string) (pid int, err error) {
	return 0, errors.New("there is no signal for that on this system: set server.watch_config, or restart the guard (sendguard service restart)")
}
