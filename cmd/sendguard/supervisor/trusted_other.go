//go:build !unix

package supervisor

// trusted knows nothing of the access lists of Windows.
func trusted(string) error { return nil }
