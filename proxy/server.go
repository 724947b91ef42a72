package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-smtp"

	"sendguard/policy"
	"sendguard/proxy/unfinished"
)

// Limits bound what clients and upstreams may use up.
type Limits struct {
	Connections          int // open at one time, in all
	ConnectionsPerClient int // of one IP address
	Recipients           int // of one message
	HeaderBytes          int
	LineBytes            int    // of a command or header line
	MessageBytes         int64  // 0: only what the upstream says
	BufferBytes          int64  // held at one time, in all
	SpoolDir             string // for messages that are held; "": the system's temporary folder

	Idle          time.Duration // between commands
	Stall         time.Duration // between bytes of a message
	Connect       time.Duration // to the upstream, and for its TLS handshake
	UpstreamReply time.Duration // to one command
	TimeBudget    time.Duration // for the copies of one message
}

// A Route takes mail from clients at one address to one upstream.
type Route struct {
	Name          string
	Listen        string         // host:port, unix:PATH or systemd:NAME
	SocketMode    os.FileMode    // of a unix socket
	TLS           *ClientTLS     // nil: clients do without
	Allow         []netip.Prefix // where connections may come from; none: from anywhere
	AuthRequired  bool           // MAIL is taken after a login only
	UsersFile     string         // who may log in here, as CheckUsersFile takes it; "": the upstream knows. Not with Relay
	ProxyProtocol bool           // connections begin with a PROXY header
	Upstream      Upstream
}

// A Server accepts clients on all its routes.
type Server struct {
	limits  Limits
	policy  *policy.Policy
	metrics *Metrics
	log     *slog.Logger
	buffers *budget
	sends   *unfinished.Sends
	routes  []*route

	ctx      context.Context // for all that goes upstream
	cancel   context.CancelFunc
	sessions sync.WaitGroup
	accepts  sync.WaitGroup

	mu        sync.Mutex
	open      map[*session]struct{}
	perClient map[string]int
	stopping  bool
	stopBy    time.Time // when sessions are cut off; zero before a stop
}

// A route is a Route in service.
type route struct {
	Route
	*Server
	listeners []net.Listener
	tls       *tls.Config // nil without TLS
	dialer    *dialer
	pool      *pool
	users     *users // nil: none of our own
}

// NewServer makes a server; Start opens its listeners. sends remembers what a
// client will have to send again; it must stay open until Shutdown returns.
func NewServer(routes []Route, limits Limits, p *policy.Policy, sends *unfinished.Sends, m *Metrics, log *slog.Logger) *Server {
	s := &Server{limits: limits, policy: p, sends: sends, metrics: m, log: log, buffers: newBudget(limits.BufferBytes),
		open: map[*session]struct{}{}, perClient: map[string]int{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	checks := make(chan struct{}, maxChecks)
	for _, r := range routes {
		s.routes = append(s.routes, &route{Route: r, Server: s, pool: &pool{max: r.Upstream.MaxIdle}, users: s.newUsers(r, checks), dialer: &dialer{
			Upstream: r.Upstream,
			tls:      r.Upstream.tlsConfig(),
			limits:   &s.limits,
			account:  newAccount(r.Upstream.Login),
			own:      s.owns,
			replied:  func(command string, code int) { m.replied(r.Name, command, code) },
		}})
	}
	return s
}

// Start opens the listeners of all routes, or none, and begins to serve them.
func (s *Server) Start() error {
	for _, r := range s.routes {
		if err := r.prepare(); err != nil {
			s.closeListeners()
			return err
		}
	}
	for _, r := range s.routes {
		for _, l := range r.listeners {
			s.accepts.Go(func() { r.accept(l) })
			s.log.Info("listening", "route", r.Name, "listen", l.Addr().String())
		}
	}
	return nil
}

// prepare opens where the route listens and reads its certificate.
func (r *route) prepare() (err error) {
	if r.TLS != nil {
		if r.tls, err = r.TLS.config(r.log.With("route", r.Name)); err != nil {
			return fmt.Errorf("route %s: %w", r.Name, err)
		}
	}
	r.listeners, err = r.listen()
	return err
}

// Addr returns where a route listens.
func (s *Server) Addr(route int) net.Addr { return s.routes[route].listeners[0].Addr() }

// Ready reports whether the listeners are open and the server does not stop.
func (s *Server) Ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.stopping
}

// Shutdown stops accepting, ends sessions that have no transaction open, and
// waits for the others. When ctx ends it closes what is left; a message that is
// cut off so is finished nowhere. The error is that of ctx.
func (s *Server) Shutdown(ctx context.Context) error {
	s.closeListeners()
	s.accepts.Wait()
	s.mu.Lock()
	s.stopping = true
	s.stopBy, _ = ctx.Deadline()
	for c := range s.open {
		c.w.interrupt()
	}
	s.mu.Unlock()

	done := make(chan struct{})
	go func() {
		s.sessions.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = ctx.Err()
		s.mu.Lock()
		for c := range s.open {
			c.kill()
		}
		s.mu.Unlock()
	}
	s.cancel()
	<-done
	for _, r := range s.routes {
		r.pool.close()
	}
	return err
}

// stopTime is when a run of copies should begin no more of them, so that the
// last one is finished before sessions are cut off. It is zero where no stop is
// under way.
func (s *Server) stopTime() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopBy.IsZero() {
		return time.Time{}
	}
	return s.stopBy.Add(-lastCopyTime)
}

// lastCopyTime is what the last copy of a run may take when the server stops.
const lastCopyTime = 3 * time.Second

func (s *Server) closeListeners() {
	for _, r := range s.routes {
		for _, l := range r.listeners {
			l.Close()
		}
	}
}

// accept serves the clients of a listener until it is closed.
func (r *route) accept(l net.Listener) {
	const longest = time.Second
	pause := time.Duration(0)
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			r.admit(conn)
		case errors.Is(err, net.ErrClosed):
			return
		default: // out of file descriptors, say: there may be some again
			r.log.Error("accept failed", "route", r.Name, "error", err)
			pause = min(max(2*pause, 5*time.Millisecond), longest)
			time.Sleep(pause)
		}
	}
}

// serve hands the connection to a go-smtp server of its own, so that each
// client is announced what its own upstream offers. The library serves it in a
// goroutine that ends with Close of the wire.
func (s *session) serve() {
	srv := smtp.NewServer(smtp.BackendFunc(s.newSession))
	srv.Domain = localName
	srv.AllowInsecureAuth = true // the library sees no TLS, the wire does it
	srv.MaxLineLength = 0        // the wire bounds lines
	srv.ErrorLog = panicLog{s}
	srv.Serve(&oneShot{conn: s.w})
}

// A oneShot is a listener with one connection to give.
type oneShot struct{ conn net.Conn }

func (l *oneShot) Accept() (net.Conn, error) {
	if l.conn == nil {
		return nil, net.ErrClosed
	}
	conn := l.conn
	l.conn = nil
	return conn, nil
}

func (l *oneShot) Close() error   { return nil }
func (l *oneShot) Addr() net.Addr { return nil }

// panicLog logs what the library reports: panics, with their stack. The
// message of a panic stays out of the log, it may hold part of a mail.
type panicLog struct{ s *session }

func (l panicLog) Printf(_ string, args ...any) {
	l.s.fault(faultPanic)
	var stack string
	for _, a := range args {
		if b, ok := a.([]byte); ok {
			stack = string(b)
		}
	}
	l.s.log.Error("internal error", "route", l.s.Name, "stack", stack)
}

func (l panicLog) Println(...any) {}

// A budget is memory that is shared by all sessions.
type budget struct{ left atomic.Int64 }

func newBudget(bytes int64) *budget {
	b := &budget{}
	b.left.Store(bytes)
	return b
}

// take takes n bytes, if there are so many left.
func (b *budget) take(n int) bool {
	if b.left.Add(int64(-n)) < 0 {
		b.left.Add(int64(n))
		return false
	}
	return true
}

func (b *budget) give(n int) { b.left.Add(int64(n)) }
