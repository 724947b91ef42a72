//go:build !windows

package main

import (
	"context"
	"os"
)

// runProcess carries out the command line of this process.
func runProcess() (status int) {
	return run(context.Background(), os.Args[1:], os.Stdout, os.Stderr)
}
