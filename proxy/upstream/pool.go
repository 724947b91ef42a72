package upstream

import (
	"slices"
	"sync"
	"time"
)

const (
	maxRest         = time.Minute      // a connection is kept without being used
	maxAge          = 10 * time.Minute // from when it was opened
	maxTransactions = 100
	maxUnproductive = 20
	restTime        = 3 * time.Second // a connection that was quiet for longer is asked whether it is there
	checkTime       = 5 * time.Second // to answer that
)

// A Pool holds connections to one upstream that no session uses, logged in
// and between transactions.
type Pool struct {
	max int

	mu     sync.Mutex
	idle   []*Conn // the last one was used last
	closed bool
}

// NewPool makes a pool that keeps at most so many.
func NewPool(max int) *Pool { return &Pool{max: max} }

// Take takes the connection out that was used last of those that were greeted
// with a name; nil is none.
func (p *Pool) Take(helo string) *Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, u := range slices.Backward(p.idle) {
		if u.helo == helo {
			p.idle = slices.Delete(p.idle, i, i+1)
			u.expiry.Stop()
			return u
		}
	}
	return nil
}

// Put gives the pool a connection. Where it has too many, the one that has
// rested longest goes.
func (p *Pool) Put(u *Conn) {
	p.mu.Lock()
	leaving := u
	if !p.closed {
		leaving = nil
		u.expiry = time.AfterFunc(maxRest, func() { p.retire(u) })
		if p.idle = append(p.idle, u); len(p.idle) > p.max {
			leaving = p.idle[0]
			leaving.expiry.Stop()
			p.idle = slices.Delete(p.idle, 0, 1)
		}
	}
	p.mu.Unlock()
	if leaving != nil {
		leaving.leave()
	}
}

// retire closes a connection that nobody wanted.
func (p *Pool) retire(u *Conn) {
	p.mu.Lock()
	i := slices.Index(p.idle, u)
	if i >= 0 {
		p.idle = slices.Delete(p.idle, i, i+1)
	}
	p.mu.Unlock()
	if i >= 0 {
		u.leave()
	}
}

// Close closes all connections, and those that are still given to the pool.
func (p *Pool) Close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, u := range idle {
		u.expiry.Stop()
		u.leave()
	}
}

// leave takes leave without waiting for the upstream to do the same.
func (u *Conn) leave() {
	u.conn.SetDeadline(time.Now().Add(quitTime))
	u.conn.Write([]byte("QUIT\r\n"))
	u.conn.Close()
}

// Wants reports whether the pool would keep a connection. Between transactions it
// has to be.
func (p *Pool) Wants(u *Conn) bool { return p.max > 0 && !u.InTransaction() && !u.worn() }

// worn reports whether a connection has served long enough. Servers count what
// they refuse, and commands that lead to no message, and slow down or hang up
// when it is too much: nobody is to pay for another client's mistakes.
func (u *Conn) worn() bool {
	return u.refused || u.unproductive > maxUnproductive || u.transactions >= maxTransactions || time.Since(u.born) > maxAge
}

// Reset brings the upstream to where it was before any transaction.
func (u *Conn) Reset() bool {
	return u.Agrees("rset", "RSET\r\n")
}

// Alive reports whether a connection that was left alone can be used. What
// came in since the last reply is no answer to anything that will be asked:
// the upstream took leave, or is out of step.
func (u *Conn) Alive() bool {
	if u.unasked() != nil {
		return false
	}
	if time.Since(u.spoke) < restTime {
		return true
	}
	return u.Agrees("noop", "NOOP\r\n")
}

// Agrees sends a command that nobody waits for long, and that must be taken.
func (u *Conn) Agrees(name, line string) bool {
	r, err := u.commandWithin(min(checkTime, u.wait.Reply), name, []byte(line))
	return err == nil && r.OK()
}
