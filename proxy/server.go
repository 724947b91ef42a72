package proxy

import (
	"context"
	"crypto/tls"
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
	"sendguard/proxy/upstream"
	"sendguard/proxy/users"
	"sendguard/proxy/wire"
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

// Timeouts are those for the upstream.
func (l *Limits) Timeouts() upstream.Timeouts {
	return upstream.Timeouts{Connect: l.Connect, Reply: l.UpstreamReply, Stall: l.Stall}
}

// lines are those for the client's side.
func (l *Limits) lines() wire.Limits {
	return wire.Limits{LineBytes: l.LineBytes, Idle: l.Idle, Stall: l.Stall}
}

// A Route takes mail from clients at one address to one upstream.
type Route struct {
	Name          string
	Listen        string         // host:port, unix:PATH or systemd:NAME
	SocketMode    os.FileMode    // of a unix socket
	TLS           *ClientTLS     // nil: clients do without
	Allow         []netip.Prefix // where connections may come from; none: from anywhere
	AuthRequired  bool           // MAIL is taken after a login only
	UsersFile     string         // who may log in here, as users.CheckFile takes it; "": the upstream knows. Not with Relay
	ProxyProtocol bool           // connections begin with a PROXY header
	LogClient     bool           // the log has the address of the client
	Upstream      upstream.Server
}

// A Server accepts clients on all its routes.
type Server struct {
	metrics *Metrics
	log     *slog.Logger
	buffers *wire.Budget
	checks  *users.Checks // of passwords
	kept    kept          // for a client that would find no descriptor
	sends   *unfinished.Sends

	inForce   atomic.Pointer[settings]
	changing  sync.Mutex // held over a start, a reload, and the start of a stop
	listeners map[string]*listener

	numbered atomic.Uint64 // sessions, for the log
	repeats  repeats

	ctx      context.Context // for all that goes upstream
	cancel   context.CancelFunc
	sessions sync.WaitGroup
	accepts  sync.WaitGroup
	keepers  sync.WaitGroup // of tokens

	mu        sync.Mutex
	open      map[*session]struct{}
	perClient map[string]int
	stopping  bool
	stopBy    time.Time // when sessions are cut off; zero before a stop
}

// A route is a Route in service.
type route struct {
	config   Route
	server   *Server
	limits   *Limits
	listener *listener
	tls      *tls.Config // nil without TLS
	dialer   *upstream.Dialer
	pool     *upstream.Pool
	users    *users.Users // nil: none of our own
}

// NewServer makes a server; Start opens its listeners. sends remembers what a
// client will have to send again; it must stay open until Shutdown returns.
func NewServer(routes []Route, limits Limits, p *policy.Policy, sends *unfinished.Sends, m *Metrics, log *slog.Logger) *Server {
	buffers := wire.NewBudget(limits.BufferBytes)
	s := &Server{sends: sends, metrics: m, log: log, buffers: buffers, checks: users.NewChecks(buffers),
		open: map[*session]struct{}{}, perClient: map[string]int{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.inForce.Store(s.newSettings(routes, limits, p))
	return s
}

// Start opens the listeners of all routes, or none, and begins to serve them.
func (s *Server) Start() error {
	s.changing.Lock()
	defer s.changing.Unlock()
	return s.enforce(s.inForce.Load())
}

// Addr returns where a route listens.
func (s *Server) Addr(route int) net.Addr {
	return s.inForce.Load().routes[route].listener.sockets[0].Addr()
}

// Counts returns how many routes are in force and how many clients connected.
func (s *Server) Counts() (routes, sessions int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.inForce.Load().routes), len(s.open)
}

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
	s.interrupt(ctx)
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
	s.kept.release()
	s.repeats.close()
	s.keepers.Wait() // a refresh is not broken off: the provider may have rotated the token
	s.inForce.Load().closePools()
	return err
}

// interrupt begins the stop. A reload that is under way is finished first.
func (s *Server) interrupt(ctx context.Context) {
	s.changing.Lock()
	defer s.changing.Unlock()
	for _, e := range s.listeners {
		e.close()
	}
	s.accepts.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping = true
	s.stopBy, _ = ctx.Deadline()
	for c := range s.open {
		c.w.Interrupt()
	}
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
	l.s.journal.Error("internal error", "ref", l.s.reference(), "stack", stack)
}

func (l panicLog) Println(...any) {}
