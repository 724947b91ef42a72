package proxy

import (
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"
)

// TestAnUpstreamThatDoesNotTakeTheConnection: its queue is full, so what asks
// for a connection gets no answer at all, as behind a firewall.
func TestAnUpstreamThatDoesNotTakeTheConnection(t *testing.T) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for range 10 { // until nothing fits any more
		conn, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if err != nil {
			break
		}
		defer conn.Close()
	}
	g := newGuard(t, newUpstream(t), func(s *setup) { s.upstream.Address, s.limits.Connect = address, 200*time.Millisecond })
	c := g.dial()
	c.want("220")
	c.cmd("EHLO client.test", "421 4.4.1 Not sent: cannot reach 127.0.0.1: no answer")
	c.cmd("QUIT", "221")
	c.ended()
	if n := g.faults(faultConnect); n != 1 {
		t.Errorf("connect faults: %v", n)
	}
}
