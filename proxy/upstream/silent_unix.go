//go:build unix

package upstream

import (
	"errors"
	"net"
	"syscall"
	"time"
)

// silent reports whether a socket is open and has nothing to read. It does not
// wait and takes nothing.
func silent(conn net.Conn) bool {
	conn.SetReadDeadline(time.Time{})
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return true // not to be told without reading
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = raw.Read(func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK)
		quiet = errors.Is(err, syscall.EAGAIN)
		return true
	})
	return err == nil && quiet
}
