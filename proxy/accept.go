package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"sendguard/proxy/upstream"
)

// A listener is where clients come: the open sockets of one place. It stays
// open when the configuration is loaded anew, and only whose clients they are
// changes: no connection is refused in between.
type listener struct {
	sockets []*socket
	route   atomic.Pointer[route] // that has the clients
}

// A socket is one of them, with the loop that accepts at it.
type socket struct {
	net.Listener
	round chan struct{} // the loop went round since it was asked to
	ended chan struct{}
}

// place says which listener a route needs. A port that the system chooses
// belongs to the route by name.
func (r *Route) place() string {
	if strings.HasSuffix(r.Listen, ":0") {
		return r.Listen + " " + r.Name
	}
	return r.Listen
}

func (r *Route) openListener() (*listener, error) {
	listeners, err := r.listen()
	if err != nil {
		return nil, err
	}
	e := &listener{}
	for _, l := range listeners {
		e.sockets = append(e.sockets, &socket{Listener: l, round: make(chan struct{}, 1), ended: make(chan struct{})})
	}
	return e, nil
}

func (e *listener) close() {
	for _, g := range e.sockets {
		g.Close()
	}
}

// accept serves the clients at a socket until it is closed.
func (e *listener) accept(g *socket) {
	defer close(g.ended)
	const longest = time.Second
	pause := time.Duration(0)
	for {
		e.route.Load().server.kept.hold() // it may have been lent
		conn, err := g.Accept()
		r := e.route.Load()
		switch {
		case err == nil:
			pause = 0
			r.admit(conn)
		case errors.Is(err, net.ErrClosed):
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			g.answer()
		case upstream.OutOfDescriptors(err) && r.admitWithKept(g):
			pause = 0
		default: // there may be descriptors again
			r.server.log.Error("accept failed", "route", r.config.Name, "error", err)
			pause = min(max(2*pause, 5*time.Millisecond), longest)
			time.Sleep(pause)
		}
	}
}

// admitWithKept has a client that would find no descriptor hear so, unless there
// are some again. It reports false where nobody waits.
func (r *route) admitWithKept(g *socket) bool {
	conn, err := r.server.kept.accept(g.Listener)
	defer g.answer() // somebody may have asked meanwhile
	switch {
	case err != nil:
		return false
	case r.server.kept.hold():
		r.admit(conn)
		return true
	}
	r.meet(conn).turnAway(replyNoDescriptors, faultDescriptors)
	r.server.kept.hold()
	return true
}

// setDeadline ends a wait for clients; TCP and unix listeners can.
func (g *socket) setDeadline(t time.Time) {
	g.Listener.(interface{ SetDeadline(time.Time) error }).SetDeadline(t)
}

// answer is the loop's to whoever asks whether it goes round.
func (g *socket) answer() {
	g.setDeadline(time.Time{})
	select {
	case g.round <- struct{}{}:
	default:
	}
}

// alive has the loop go round once. It takes no connection for that: those
// that come meanwhile wait in the socket.
func (g *socket) alive(ctx context.Context) bool {
	select {
	case <-g.round: // an answer that was too late the last time
	default:
	}
	g.setDeadline(time.Unix(1, 0))
	select {
	case <-g.round:
	case <-g.ended: // it was closed
	case <-ctx.Done():
		return false
	}
	return true
}

// CheckAlive is an error where clients are not accepted any more, although
// nobody stopped that: a loop that does not answer before ctx ends. It is for
// one goroutine at a time.
func (s *Server) CheckAlive(ctx context.Context) error {
	for _, r := range s.inForce.Load().routes {
		for _, g := range r.listener.sockets {
			if !g.alive(ctx) {
				return fmt.Errorf("route %s accepts no clients", r.config.Name)
			}
		}
	}
	return nil
}
