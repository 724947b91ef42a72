package proxy

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
)

// What a Route's Listen begins with when it is not host:port.
const (
	UnixPrefix    = "unix:"
	SystemdPrefix = "systemd:"
)

// listen opens where a route listens: in one place, but for systemd, where a
// name may stand for several sockets.
func (r *Route) listen() ([]net.Listener, error) {
	if name, ok := strings.CutPrefix(r.Listen, SystemdPrefix); ok {
		return inheritedListeners(name)
	}
	var l net.Listener
	var err error
	if path, ok := strings.CutPrefix(r.Listen, UnixPrefix); ok {
		l, err = listenUnix(path, r.SocketMode)
	} else if strings.HasPrefix(r.Listen, "0.0.0.0:") {
		l, err = net.Listen("tcp4", r.Listen) // "tcp" would take IPv6, too
	} else {
		l, err = net.Listen("tcp", r.Listen)
	}
	if err != nil {
		return nil, err
	}
	return []net.Listener{l}, nil
}

// A unixListener takes its file away when it is closed.
type unixListener struct {
	*net.UnixListener
	path string
	made os.FileInfo
	once sync.Once
}

// listenUnix listens at a path. The socket is made in a folder that nobody
// else can enter and comes to its path when it has its mode, so that the umask
// does not matter and no client comes too early.
func listenUnix(path string, mode os.FileMode) (net.Listener, error) {
	if err := checkVacant(path); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".sendguard-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	hidden := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: hidden})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // it would look in the folder
	made, err := os.Lstat(hidden)
	if err == nil {
		err = os.Chmod(hidden, mode)
	}
	if err == nil {
		err = os.Rename(hidden, path)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return &unixListener{UnixListener: l, path: path, made: made}, nil
}

// checkVacant reports what stands at the path of a socket, unless it is the
// socket of a process that has ended.
func checkVacant(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there already and is no socket", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		conn.Close()
		return fmt.Errorf("another process listens on %s", path)
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil
	}
	return err
}

// Close takes the file away, unless another process has put its own there.
func (l *unixListener) Close() error {
	l.once.Do(func() {
		if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.made) {
			os.Remove(l.path)
		}
	})
	return l.UnixListener.Close()
}

func (l *unixListener) Addr() net.Addr { return &net.UnixAddr{Net: "unix", Name: l.path} }

// inherited are the sockets that systemd opened for us. They stay open: what
// comes while nobody listens waits for the next who does.
var inherited = sync.OnceValue(func() []*os.File { return activation.Files(true) })

func inheritedListeners(name string) (all []net.Listener, err error) {
	for _, f := range inherited() {
		if f.Name() != name {
			continue
		}
		l, err := net.FileListener(f)
		if err != nil {
			for _, l := range all {
				l.Close()
			}
			return nil, fmt.Errorf("%s%s: %w", SystemdPrefix, name, err)
		}
		all = append(all, l)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("systemd passed no socket that is named %s (FileDescriptorName= in the socket unit)", name)
	}
	return all, nil
}

// InheritedAddrs returns where the sockets listen that systemd has passed
// under a name; none outside of a service with such a socket.
func InheritedAddrs(name string) (addrs []net.Addr) {
	listeners, _ := inheritedListeners(name)
	for _, l := range listeners {
		addrs = append(addrs, l.Addr())
		l.Close()
	}
	return addrs
}

// owns reports whether an address is that of one of our listeners. One on all
// addresses has every address of this machine; that another machine forwards a
// port to it cannot be seen from here.
func (s *Server) owns(addr net.Addr) bool {
	there := addrPort(addr)
	for _, r := range s.inForce.Load().routes {
		for _, g := range r.listener.sockets {
			here := addrPort(g.Addr())
			if here.IsValid() && (here == there || here.Port() == there.Port() && here.Addr().IsUnspecified() && isOurs(there.Addr())) {
				return true
			}
		}
	}
	return false
}

// isOurs reports whether an address is one of this machine.
func isOurs(ip netip.Addr) bool {
	if ip.IsLoopback() {
		return true
	}
	all, _ := net.InterfaceAddrs()
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap() == ip.WithZone("") {
			return true
		}
	}
	return false
}

// addrPort is the address of a TCP socket, an IPv4 one always written as such;
// zero for others.
func addrPort(addr net.Addr) netip.AddrPort {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := tcp.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}
