//go:build !unix

package oauth2

import (
	"io/fs"
	"os"
)

// Who may read a file is not in its mode here: it is for its folder to say.

func ownedOnly(fs.FileInfo, fs.FileMode) bool { return true }
func giveToOwner(*os.File, string) error      { return nil }
func inode(fs.FileInfo) uint64                { return 0 }

func writable(dir string) error {
	_, err := os.Stat(dir)
	return err
}
