//go:build unix

package oauth2

import (
	"io/fs"
	"syscall"
)

func ownedBy(info fs.FileInfo, uid int) bool { return int(info.Sys().(*syscall.Stat_t).Uid) == uid }
