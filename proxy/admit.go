package proxy

import (
	"bufio"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/pires/go-proxyproto"
)

// admit begins a session, or turns away who may not come in.
func (r *route) admit(conn net.Conn) {
	c := r.meet(conn)
	if !r.allows(conn.RemoteAddr()) {
		c.turnAway(replyNotAllowed, faultNotAllowed)
		return
	}
	r.mu.Lock()
	full := len(r.open) >= r.limits.Connections || !r.ProxyProtocol && !c.enter(conn.RemoteAddr())
	if !full {
		r.open[c] = struct{}{}
	}
	r.mu.Unlock()
	if full {
		c.turnAway(replyTooManyConns, faultTooManyConns)
		return
	}
	r.sessions.Add(1)
	r.metrics.sessions.WithLabelValues(r.Name).Inc()
	r.metrics.open.WithLabelValues(r.Name).Inc()
	c.w.onClose = c.leave
	c.serve()
}

// meet makes the session of a connection.
func (r *route) meet(conn net.Conn) *session {
	c := &session{route: r, client: conn}
	c.w = &wire{conn: conn, limits: r.limits, buffers: r.buffers, screen: c.screen, replied: c.replied, refer: c.referAnew, onFault: c.fault, told: c.traceReply, begin: c.begin, busy: func() bool { return c.up.inTransaction() }}
	c.openJournal(conn.RemoteAddr())
	return c
}

// openJournal has the lines of this session in the log tell which it is, and
// where the route says so, whose.
func (s *session) openJournal(client net.Addr) {
	if s.number == 0 {
		s.number = s.numbered.Add(1)
	}
	s.journal = s.route.log.With("route", s.Name, "session", s.number)
	s.traced = s.journal.Enabled(s.ctx, slog.LevelDebug)
	if s.LogClient {
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
	if s.perClient[client] >= s.limits.ConnectionsPerClient {
		return false
	}
	s.perClient[client]++
	s.countedAs = client
	return true
}

// leave ends what admit began.
func (s *session) leave() {
	s.Server.mu.Lock()
	delete(s.open, s)
	if s.countedAs != "" {
		if s.perClient[s.countedAs]--; s.perClient[s.countedAs] == 0 {
			delete(s.perClient, s.countedAs)
		}
	}
	s.Server.mu.Unlock()
	s.metrics.open.WithLabelValues(s.Name).Dec()
	s.sessions.Done()
}

// turnAway ends a connection before the greeting, and says why where the
// client can read it.
func (s *session) turnAway(line string, f fault) {
	told := s.referAnew(newReply([]byte(line)), f)
	if !s.implicitTLS() {
		s.client.SetWriteDeadline(time.Now().Add(time.Second))
		s.client.Write(told)
	}
	s.w.end()
}

// begin is what comes before the greeting.
func (s *session) begin() {
	if s.ProxyProtocol {
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
	w := s.w
	if w.await(min(proxyTime, w.limits.Idle)) != nil {
		w.end()
		return
	}
	r := bufio.NewReader(w.conn)
	header, err := proxyproto.Read(r)
	switch stopped := w.awaited(); {
	case err == nil:
	case r.Buffered() == 0 && errors.Is(err, proxyproto.ErrNoProxyProtocol), stopped && errors.Is(err, os.ErrDeadlineExceeded):
		w.end() // it looked whether somebody listens, as load balancers do; or we stop
		return
	default:
		s.fault(faultProxyHeader)
		w.linger()
		w.end()
		return
	}
	addr := w.conn.RemoteAddr()
	if !header.Command.IsLocal() && header.SourceAddr != nil { // else it is the proxy's own connection
		addr = header.SourceAddr
		s.openJournal(addr)
	}
	s.Server.mu.Lock()
	entered := s.enter(addr)
	s.Server.mu.Unlock()
	if !entered {
		s.turnAway(replyTooManyConns, faultTooManyConns)
		return
	}
	w.conn = &proxied{w.conn.(streamConn), r}
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
