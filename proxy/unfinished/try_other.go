//go:build !unix

package unfinished

import "os"

// MayWrite is an error where a file or folder is not there. Whether it can be
// written to shows here only when it is.
func MayWrite(path string) error {
	_, err := os.Stat(path)
	return err
}
