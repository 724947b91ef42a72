//go:build !linux

package proxy

import "testing"

func smallDisk(t *testing.T) medium {
	t.Helper()
	t.Skip("NOT TESTED: no small disk to mount")
	return medium{}
}
