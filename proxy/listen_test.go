package proxy

import (
	"bufio"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// dialUnix is a client of a unix socket.
func dialUnix(t *testing.T, path string) *client {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(2 * patience))
	return &client{t, conn, bufio.NewReader(conn), nil}
}

func onSocket(path string, mode os.FileMode) func(*setup) {
	return func(s *setup) {
		s.listen = UnixPrefix + path
		s.route = func(r *Route) { r.SocketMode = mode }
	}
}

func TestAUnixSocketHasItsModeAndGoesAtTheStop(t *testing.T) {
	for _, mode := range []os.FileMode{0o600, 0o660, 0o666} { // whatever the umask
		path := filepath.Join(t.TempDir(), "guard.sock")
		u := newUpstream(t)
		g := newGuard(t, u, onSocket(path, mode))
		info, err := os.Lstat(path)
		if err != nil || info.Mode() != os.ModeSocket|mode {
			t.Errorf("%v: %v, %v", mode, info.Mode(), err)
		}
		c := dialUnix(t, path)
		c.want("220")
		c.cmd("EHLO client.test", "250")
		c.message(plain, "250")
		if err := g.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left, err := os.ReadDir(filepath.Dir(path)); len(left) > 0 || err != nil {
			t.Errorf("left over: %v, %v", left, err)
		}
		if _, got, _ := u.got(); !slices.Equal(got, []string{plain}) {
			t.Errorf("upstream got %q", got)
		}
	}
}

func TestTheSocketFileOfADeadProcessIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "guard.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	newGuard(t, newUpstream(t), onSocket(path, 0o600))
	dialUnix(t, path).want("220")
}

func TestASocketInUseIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "guard.sock")
	newGuard(t, newUpstream(t), onSocket(path, 0o600))
	if err := tryStart(t, Route{Listen: UnixPrefix + path, SocketMode: 0o600}); err == nil || err.Error() != "route test: cannot listen: another process listens on "+path {
		t.Errorf("got %v", err)
	}
	dialUnix(t, path).want("220")
}

func TestAFileAtThePathOfASocketIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "guard.sock")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := tryStart(t, Route{Listen: UnixPrefix + path, SocketMode: 0o600}); err == nil || err.Error() != "route test: cannot listen: "+path+" is there already and is no socket" {
		t.Errorf("got %v", err)
	}
	if text, err := os.ReadFile(path); string(text) != "mine" {
		t.Errorf("the file has %q, %v", text, err)
	}
}

func TestTheSocketOfASuccessorIsNotTakenAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "guard.sock")
	g := newGuard(t, newUpstream(t), onSocket(path, 0o600))
	if err := os.Rename(path, path+".old"); err != nil { // keeps its inode from being used again
		t.Fatal(err)
	}
	newGuard(t, newUpstream(t), onSocket(path, 0o600))
	if err := g.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	dialUnix(t, path).want("220")
}

func TestASocketThatSystemdDidNotPassIsNoStart(t *testing.T) {
	if err := tryStart(t, Route{Listen: SystemdPrefix + "submission"}); err == nil || !strings.Contains(err.Error(), "no socket that is named submission") {
		t.Errorf("got %v", err)
	}
}

func TestMailComesInOverIPv6(t *testing.T) {
	if l, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skip(err)
	} else {
		l.Close()
	}
	u := newUpstream(t)
	g := newGuard(t, u, func(s *setup) { s.listen = "[::1]:0"; s.route = allow("::1/128") })
	c := g.greeted()
	c.message(plain, "250")
	if _, got, _ := u.got(); !slices.Equal(got, []string{plain}) {
		t.Errorf("upstream got %q", got)
	}
}

func TestAListenerOnAllIPv4AddressesTakesNoIPv6(t *testing.T) {
	g := newGuard(t, newUpstream(t), func(s *setup) { s.listen = "0.0.0.0:0"; s.route = allow("127.0.0.0/8") })
	_, port, _ := net.SplitHostPort(g.Addr(0).String())
	if conn, err := net.Dial("tcp", "[::1]:"+port); err == nil {
		conn.Close()
		t.Error("it took a client on ::1")
	}
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestAnIPv4ClientOfAnIPv6ListenerIsKnownByItsIPv4Address(t *testing.T) {
	g := newGuard(t, newUpstream(t), func(s *setup) { s.listen = ":0"; s.route = allow("127.0.0.0/8") })
	_, port, _ := net.SplitHostPort(g.Addr(0).String())
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	(&client{t, conn, bufio.NewReader(conn), nil}).want("220")
}

func TestARouteIntoAListenerOnAllAddressesIsNoLoop(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", "[::]:0"} {
		g := newGuard(t, newUpstream(t), func(s *setup) { s.listen = listen })
		_, port, _ := net.SplitHostPort(g.Addr(0).String())
		g.routes[0].dialer.Address = "127.0.0.1:" + port // known only now
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(patience))
		c := &client{t, conn, bufio.NewReader(conn), nil}
		c.want("220")
		c.cmd("EHLO client.test", "421 4.4.1 Not sent: cannot reach 127.0.0.1: it is sendguard itself")
		conn.Close()
		if n := g.faults(faultLoop); n != 1 {
			t.Errorf("%s: loop is %v", listen, n)
		}
	}
}

func TestTheAddressesOfThisMachineAreKnown(t *testing.T) {
	all, err := net.InterfaceAddrs()
	if err != nil || len(all) == 0 {
		t.Skip("no interfaces", err)
	}
	for _, a := range all {
		if ip := netip.MustParsePrefix(a.String()).Addr(); !isOurs(ip) {
			t.Errorf("%s is ours", ip)
		}
	}
	if isOurs(netip.MustParseAddr("192.0.2.77")) { // RFC 5737
		t.Error("192.0.2.77 is not ours")
	}
}
