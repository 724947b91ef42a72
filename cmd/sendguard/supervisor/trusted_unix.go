//go:build unix

package supervisor

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// trusted reports one file or folder that does not belong to the administrator
// alone. In a folder with the sticky bit nobody can replace what is another's.
func trusted(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%s: it cannot be seen whose it is", path)
	}
	sticky := info.IsDir() && info.Mode()&fs.ModeSticky != 0
	switch {
	case owner.Uid != 0:
		return fmt.Errorf("%s belongs to user %d, who could change what the administrator starts: chown root it, or use --user", path, owner.Uid)
	case info.Mode()&0o002 != 0 && !sticky, info.Mode()&0o020 != 0 && !sticky && owner.Gid != 0:
		return fmt.Errorf("%s can be written by others than the administrator (mode %#o): chmod go-w it, or use --user", path, info.Mode().Perm())
	}
	return nil
}
