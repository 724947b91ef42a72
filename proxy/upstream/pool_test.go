package upstream

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A peer is a server that takes every command, and keeps what it was sent. Those
// that hang says it never answers.
type peer struct {
	t        *testing.T
	listener net.Listener
	hangs    string

	mu       sync.Mutex
	commands []string
}

func newPeer(t *testing.T) *peer {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, listener: l}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(conn) })
		}
	})
	return p
}

func (p *peer) serve(conn net.Conn) {
	defer conn.Close()
	fmt.Fprint(conn, "220 here\r\n")
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		p.mu.Lock()
		p.commands = append(p.commands, strings.Fields(lines.Text())[0])
		p.mu.Unlock()
		if lines.Text() != p.hangs {
			fmt.Fprint(conn, "250 ok\r\n")
		}
		if lines.Text() == "QUIT" {
			return
		}
	}
}

// sent is how often a command came.
func (p *peer) sent(verb string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, command := range p.commands {
		if command == verb {
			n++
		}
	}
	return n
}

func (p *peer) dialer() *Dialer {
	wait := Timeouts{Connect: 5 * time.Second, Reply: 200 * time.Millisecond, Stall: 5 * time.Second}
	return NewDialer(Server{Address: p.listener.Addr().String(), TLS: TLSNone}, wait, func(net.Addr) bool { return false }, func(string, int) {})
}

// use does what a session does: it takes a connection that is kept and alive or
// dials, begins a transaction, and gives the connection back.
func (p *peer) use(pool *Pool, d *Dialer) *Conn {
	p.t.Helper()
	u := pool.Take("client.test")
	if u == nil || !u.Alive() {
		if u != nil {
			u.Close()
		}
		var err error
		if u, err = d.Dial(p.t.Context(), Greeting{Name: "client.test"}, func(net.Conn) {}); err != nil {
			p.t.Fatal(err)
		}
	}
	if r, err := u.Command("mail", []byte("MAIL FROM:<>\r\n")); err != nil || !r.OK() || !u.InTransaction() {
		p.t.Fatalf("%q %v", r.Raw, err)
	}
	if !u.Reset() || u.InTransaction() {
		p.t.Fatal("the transaction does not end")
	}
	if pool.Wants(u) {
		pool.Put(u)
	} else {
		u.Quit()
	}
	return u
}

func TestAConnectionThatRestedIsAskedAndAnOldOneIsRetired(t *testing.T) {
	p := newPeer(t)
	pool, d := NewPool(1), p.dialer()
	defer pool.Close()
	p.use(pool, d).spoke = time.Now().Add(-2 * restTime)
	first := p.use(pool, d)
	if p.sent("EHLO") != 1 || p.sent("NOOP") != 1 {
		t.Errorf("the server was sent %q", p.commands)
	}
	first.born = time.Now().Add(-2 * maxAge)
	p.use(pool, d)
	second := p.use(pool, d)
	second.transactions = maxTransactions
	p.use(pool, d)
	third := p.use(pool, d)
	if first == second || second == third || p.sent("EHLO") != 3 || p.sent("QUIT") != 2 {
		t.Errorf("the server was sent %q", p.commands)
	}
	pool.retire(third) // as when nobody wants it for too long
	if slices.Contains(pool.idle, third) {
		t.Error("it is kept")
	}
}

func TestAConnectionThatNoLongerAnswersIsReplaced(t *testing.T) {
	p := newPeer(t)
	p.hangs = "NOOP"
	pool, d := NewPool(1), p.dialer()
	defer pool.Close()
	first := p.use(pool, d)
	first.spoke = time.Now().Add(-2 * restTime)
	if second := p.use(pool, d); first == second || p.sent("EHLO") != 2 {
		t.Errorf("the server was sent %q", p.commands)
	}
}

func TestAPoolKeepsNoMoreThanItMay(t *testing.T) {
	p := newPeer(t)
	pool, d := NewPool(1), p.dialer()
	defer pool.Close()
	var kept []*Conn
	for range 3 {
		u, err := d.Dial(t.Context(), Greeting{Name: "client.test"}, func(net.Conn) {})
		if err != nil {
			t.Fatal(err)
		}
		pool.Put(u)
		kept = append(kept, u)
	}
	if !slices.Equal(pool.idle, kept[2:]) {
		t.Errorf("it keeps %d", len(pool.idle))
	}
	if pool.Take("another.test") != nil || pool.Take("client.test") != kept[2] {
		t.Error("another client's is given")
	}
	pool.Put(kept[2])
}
