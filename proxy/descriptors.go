package proxy

import (
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// File descriptors are what the system gives a process fewest of. As many sessions
// are let in as there are descriptors for; what all else takes is kept free of
// them. Where none is left all the same, others having taken them, that is told as
// a fault of our own.

const (
	sessionDescriptors = 3  // the client's, the upstream's, and one more: a spool, or a second address while connecting
	otherDescriptors   = 32 // the runtime's, files that are read, commands, maxStatusConns, and what is kept
)

// fitConnections lowers the limit of connections to what there are descriptors
// for, and says so.
func (s *Server) fitConnections(set *settings) error {
	others := otherDescriptors
	for _, r := range set.routes {
		others += len(r.listener.sockets)
		if !r.config.Upstream.Relay {
			others += r.config.Upstream.MaxIdle
		}
	}
	limit := descriptorLimit()
	fit, connections := (limit-others)/sessionDescriptors, set.limits.Connections
	switch {
	case fit < 1:
		return fmt.Errorf("%d file descriptors are too few to serve anybody: raise the limit (ulimit -n, LimitNOFILE= of a service) to %d",
			limit, others+connections*sessionDescriptors)
	case fit < connections:
		s.log.Warn("too few file descriptors for server.connections: clients beyond those that fit are turned away; raise the limit (ulimit -n, LimitNOFILE= of a service)",
			"connections", connections, "fit", fit, "limit", limit, "needed", others+connections*sessionDescriptors)
		set.limits.Connections = fit
	}
	return nil
}

// A kept is a descriptor that is held for a connection that would find none.
type kept struct {
	mu   sync.Mutex
	file *os.File
}

// hold takes the descriptor, and reports whether there is one to take.
func (k *kept) hold() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.file == nil {
		k.file, _ = os.Open(os.DevNull)
	}
	return k.file != nil
}

// release gives the descriptor up.
func (k *kept) release() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.file != nil {
		k.file.Close()
		k.file = nil
	}
}

// accept takes a connection that waits with the descriptor that was kept. Who
// closes the connection must hold one again.
func (k *kept) accept(l net.Listener) (net.Conn, error) {
	k.release()
	deadline := l.(interface{ SetDeadline(time.Time) error })
	deadline.SetDeadline(time.Now().Add(keptTime)) // perhaps nobody waits: the system does not look before it has a descriptor
	conn, err := l.Accept()
	deadline.SetDeadline(time.Time{})
	if err != nil {
		k.hold()
	}
	return conn, err
}

const keptTime = 10 * time.Millisecond
