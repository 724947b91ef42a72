package proxy

import (
	"net"
	"net/netip"
)

// listen opens where a route listens.
func listen(where string) ([]net.Listener, error) {
	l, err := net.Listen("tcp", where)
	if err != nil {
		return nil, err
	}
	return []net.Listener{l}, nil
}

// owns reports whether an address is that of one of our listeners. One on all
// addresses has every address of this machine; that another machine forwards a
// port to it cannot be seen from here.
func (s *Server) owns(addr net.Addr) bool {
	there := addrPort(addr)
	for _, r := range s.routes {
		for _, l := range r.listeners {
			here := addrPort(l.Addr())
			if here == there || here.Port() == there.Port() && here.Addr().IsUnspecified() && isOurs(there.Addr()) {
				return there.IsValid()
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
