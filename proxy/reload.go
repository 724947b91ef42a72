package proxy

import (
	"errors"
	"os"
	"strings"
	"syscall"

	"sendguard/policy"
	"sendguard/proxy/upstream"
)

// A settings is what one configuration says, in service. It does not change: it
// is replaced as a whole. A session keeps the route and the limits that it
// began with, and takes the policy for each transaction at its MAIL.
type settings struct {
	limits Limits
	policy *policy.Policy
	routes []*route

	endTokens func() // of the routes are no longer renewed; nil before they are
}

func (s *Server) newSettings(routes []Route, limits Limits, p *policy.Policy) *settings {
	set := &settings{limits: limits, policy: p}
	for _, r := range routes {
		set.routes = append(set.routes, &route{
			config: r, server: s, limits: &set.limits, pool: upstream.NewPool(r.Upstream.MaxIdle), users: s.usersOf(r),
			dialer: upstream.NewDialer(r.Upstream, limits.Timeouts(), s.owns, func(command string, code int) { s.metrics.replied(r.Name, command, code) }),
		})
	}
	return set
}

// ErrStopping says that a server which stops takes no other configuration.
var ErrStopping = errors.New("shutting down")

// Reload puts another configuration in force, all of it or, where it returns an
// error, nothing. The policy and the time budget hold from the next MAIL on,
// what is bounded in all at once, and the rest for the connections that come
// from now on. A listen address that stays keeps its open sockets. Sessions of
// a route that is gone go on to their end. Connections upstream that no session
// uses are closed. It may be called at any time, and several times at once.
func (s *Server) Reload(routes []Route, limits Limits, p *policy.Policy) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	if !s.Ready() {
		return ErrStopping
	}
	return s.enforce(s.newSettings(routes, limits, p))
}

// enforce opens what is not open yet of a configuration, and puts it in force.
// s.changing is held.
func (s *Server) enforce(next *settings) error {
	fresh, err := s.prepare(next)
	if err != nil {
		for _, r := range fresh {
			r.listener.close()
		}
		return err
	}
	s.kept.hold()
	for _, r := range next.routes {
		s.metrics.zero(r.config.Name)
		for _, rule := range next.policy.RuleNames() {
			s.metrics.zeroRule(r.config.Name, rule)
		}
	}
	old := s.inForce.Swap(next)
	s.buffers.Grow(next.limits.BufferBytes - old.limits.BufferBytes)
	for _, r := range next.routes {
		r.listener.route.Store(r)
	}
	s.closeUnused()
	for _, r := range fresh {
		for _, g := range r.listener.sockets {
			s.accepts.Go(func() { r.listener.accept(g) })
			s.log.Info("listening", "route", r.config.Name, "listen", g.Addr().String())
		}
	}
	if old != next {
		old.endTokens()
		old.closePools()
	}
	s.keepTokens(next)
	return nil
}

// prepare gives each route its listener and its certificate. fresh are those whose
// listener was opened now, also where there is an error.
func (s *Server) prepare(next *settings) (fresh []*route, err error) {
	for _, r := range next.routes {
		if r.config.TLS != nil {
			if r.tls, err = r.tlsConfig(); err != nil {
				return fresh, r.config.tlsError(err)
			}
		}
		if r.listener = s.listeners[r.config.place()]; r.listener == nil {
			if r.listener, err = r.config.openListener(); err != nil {
				failed := r.config.listenError(err)
				if errors.Is(err, syscall.EADDRINUSE) && len(s.listeners) > 0 {
					failed.hint = " (where sendguard itself has that port on another address, restart it)"
				}
				return fresh, failed
			}
			fresh = append(fresh, r)
		}
	}
	if err := s.fitConnections(next); err != nil {
		return fresh, err
	}
	return fresh, s.chmod(next)
}

// chmod gives unix sockets that stay another mode, where they are to have one.
func (s *Server) chmod(next *settings) error {
	for _, r := range next.routes {
		path, isUnix := strings.CutPrefix(r.config.Listen, UnixPrefix)
		was := r.listener.route.Load()
		if !isUnix || was == nil || was.config.SocketMode == r.config.SocketMode {
			continue
		}
		if err := os.Chmod(path, r.config.SocketMode); err != nil {
			return r.config.listenError(err)
		}
	}
	return nil
}

// closeUnused closes the listeners that no route in force has.
func (s *Server) closeUnused() {
	unused := s.listeners
	s.listeners = map[string]*listener{}
	for _, r := range s.inForce.Load().routes {
		s.listeners[r.config.place()] = r.listener
		delete(unused, r.config.place())
	}
	for _, e := range unused {
		e.close()
		s.log.Info("no longer listening", "route", e.route.Load().config.Name)
	}
}

func (set *settings) closePools() {
	for _, r := range set.routes {
		r.pool.Close()
	}
}
