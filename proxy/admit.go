package proxy

import (
	"bufio"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"sendguard/proxy/wire"

	"github.com/pires/go-proxyproto"
)

// admit begins a session, or turns away who may not come in.
func (r *route) admit(conn net.Conn) {
	c := r.meet(conn)
	if !r.config.allows(conn.RemoteAddr()) {
		c.turnAway(replyNotAllowed, faultNotAllowed)
		return
	}
	r.server.mu.Lock()
	full := len(r.server.open) >= r.limits.Connections || !r.config.ProxyProtocol && !c.enter(conn.RemoteAddr())
	if !full {
		r.server.open[c] = struct{}{}
	}
	r.server.mu.Unlock()
	if full {
		c.turnAway(replyTooManyConns, faultTooManyConns)
		return
	}
	r.server.sessions.Add(1)
	r.server.metrics.sessionBegan(r.config.Name)
	c.admitted = true
	c.serve()
}

// meet makes the session of a connection.
func (r *route) meet(conn net.Conn) *session {
	c := &session{server: r.server, route: r, client: conn}
	c.w = wire.New(conn, r.limits.lines(), r.server.buffers, c)
	c.openJournal(conn.RemoteAddr())
	return c
}

// openJournal has the lines of this session in the log tell which it is, and
// where the route says so, whose.
func (s *session) openJournal(client net.Addr) {
	if s.number == 0 {
		s.number = s.server.numbered.Add(1)
	}
	s.journal = s.server.log.With("route", s.route.config.Name, "session", s.number)
	s.traced = s.journal.Enabled(s.server.ctx, slog.LevelDebug)
	if s.route.config.LogClient {
		s.shownClient = clientOf(client)
		s.journal = s.journal.With("client", s.shownClient)
	}
}

// clientOf names whose connection it is; all clients of a unix socket are one.
func clientOf(addr net.Addr) string {
	if p := addrPort(addr); p.IsValid() {
		return p.Addr().String()
	}
	return addr.Network()
}

// allows reports whether a connection may come from an address.
func (r *Route) allows(addr net.Addr) bool {
	ip := addrPort(addr).Addr().WithZone("")
	return len(r.Allow) == 0 || slices.ContainsFunc(r.Allow, func(n netip.Prefix) bool { return n.Contains(ip) })
}

// enter counts a connection of a client, unless it has too many. The server's
// mutex is held.
func (s *session) enter(addr net.Addr) bool {
	client := clientOf(addr)
	if s.server.perClient[client] >= s.route.limits.ConnectionsPerClient {
		return false
	}
	s.server.perClient[client]++
	s.countedAs = client
	return true
}

// Closed ends what admit began.
func (s *session) Closed() {
	if !s.admitted {
		return
	}
	s.admitted = false
	s.server.mu.Lock()
	delete(s.server.open, s)
	if s.countedAs != "" {
		if s.server.perClient[s.countedAs]--; s.server.perClient[s.countedAs] == 0 {
			delete(s.server.perClient, s.countedAs)
		}
	}
	s.server.mu.Unlock()
	s.server.metrics.sessionEnded(s.route.config.Name)
	s.server.sessions.Done()
}

// turnAway ends a connection before the greeting, and says why where the
// client can read it.
func (s *session) turnAway(line string, f fault) {
	told := s.referAnew(newReply([]byte(line)), f)
	if !s.implicitTLS() {
		s.client.SetWriteDeadline(time.Now().Add(time.Second))
		s.client.Write(told)
	}
	s.w.End()
}

// Begin is what comes before the greeting.
func (s *session) Begin() {
	if s.route.config.ProxyProtocol {
		s.readProxyHeader()
	}
	if s.implicitTLS() {
		s.secure()
	}
}

// proxyTime bounds the wait for a PROXY header, which comes with the
// connection.
const proxyTime = 10 * time.Second

// readProxyHeader takes the header in which a proxy says whose connection it
// is. Without one the connection ends: it did not come through the proxy.
func (s *session) readProxyHeader() {
	addr := s.client.RemoteAddr()
	err := s.w.Replace(proxyTime, func(conn net.Conn) (net.Conn, error) {
		r := bufio.NewReader(conn)
		header, err := proxyproto.Read(r)
		switch {
		case errors.Is(err, proxyproto.ErrNoProxyProtocol) && r.Buffered() == 0:
			return nil, errLooked
		case err != nil:
			return nil, err
		case !header.Command.IsLocal() && header.SourceAddr != nil: // else it is the proxy's own connection
			addr = header.SourceAddr
			s.openJournal(addr)
		}
		return &proxied{conn.(streamConn), r}, nil
	})
	if err != nil {
		s.notBegun(err, faultProxyHeader, "")
		return
	}
	s.server.mu.Lock()
	entered := s.enter(addr)
	s.server.mu.Unlock()
	if !entered {
		s.turnAway(replyTooManyConns, faultTooManyConns)
	}
}

// errLooked says that a client only looked whether somebody listens, as load
// balancers do.
var errLooked = errors.New("nothing came")

// notBegun ends a connection that did not begin as it must. It is a fault, unless
// the client wanted nothing or we stop.
func (s *session) notBegun(err error, f fault, detail string) {
	if !errors.Is(err, errLooked) && !errors.Is(err, wire.ErrStopping) {
		s.faultDetail(f, detail)
		s.w.Linger() // an alert says why
	}
	s.w.End()
}

// A streamConn is a TCP or unix socket.
type streamConn interface {
	net.Conn
	CloseWrite() error
}

// A proxied connection gives what came together with the PROXY header first.
type proxied struct {
	streamConn
	r *bufio.Reader
}

func (p *proxied) Read(b []byte) (int, error) { return p.r.Read(b) }
