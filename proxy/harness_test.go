package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"go.uber.org/goleak"

	"sendguard/policy"
	"sendguard/proxy/unfinished"
	"sendguard/proxy/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of a test: it fails then, it does not go on.
const patience = 10 * time.Second

// An upstreamServer is the server behind the guard. It takes every message
// unless on says something else, and keeps what it was sent.
type upstreamServer struct {
	t        testing.TB
	listener net.Listener
	// on may answer a command itself; "" leaves it to the server, "close"
	// closes the connection. It is called with "." at the end of a message and
	// with "" for the greeting.
	on func(line string) string
	// onEach, if set, makes an on for each connection.
	onEach func() func(line string) string
	// after, if set, may say more behind the answer to a command, or when the
	// start of a message has come ("body").
	after func(verb string, say func(string))
	// fail, if set, may do something else than answer; true ends the connection.
	// It is asked for each command, "" for the greeting, "handshake", and "body"
	// and "." for the start and the end of a message.
	fail func(at string, conn net.Conn) bool
	caps []string
	// endsAt are the sequences that end a message for this server.
	endsAt []string
	// cutAt, if set, is after how many bytes of a message it closes the
	// connection, having said cutWith.
	cutAt   int
	cutWith string
	// tls is offered with STARTTLS, or spoken from the start.
	tls      *tls.Config
	implicit bool
	// keepLast keeps only what was noted last: for tests that send a lot.
	keepLast bool

	mu       sync.Mutex
	open     int // connections
	commands []string
	messages []string // complete ones, as on the wire, without the final dot
	broken   []string // those that broke off
	finished int
	wg       sync.WaitGroup
	changed  *sync.Cond
	once     sync.Once // start
}

func newUpstream(t testing.TB) *upstreamServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &upstreamServer{t: t, listener: l, endsAt: []string{"\r\n.\r\n"}, caps: []string{
		"PIPELINING", "SIZE 10240000", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES", "CHUNKING", "VRFY",
		"AUTH PLAIN LOGIN XOAUTH2 CRAM-MD5 SCRAM-SHA-256 SCRAM-SHA-256-PLUS GSSAPI NTLM"}}
	u.changed = sync.NewCond(&u.mu)
	t.Cleanup(func() { l.Close(); u.wg.Wait() })
	return u
}

// start begins to serve; before, a test may change how.
func (u *upstreamServer) start() {
	u.wg.Go(func() {
		for {
			conn, err := u.listener.Accept()
			if err != nil {
				return
			}
			u.opened(1)
			u.wg.Go(func() {
				defer u.opened(-1)
				u.serve(conn)
			})
		}
	})
}

func (u *upstreamServer) serve(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(4 * patience))
	if u.implicit {
		conn = tls.Server(conn, u.tls)
	}
	r := bufio.NewReader(conn)
	on := u.on
	if u.onEach != nil {
		on = u.onEach()
	}
	say := func(s string) { fmt.Fprintf(conn, "%s\r\n", strings.ReplaceAll(s, "\n", "\r\n")) }
	fails := func(at string) bool { return u.fail != nil && u.fail(at, conn) }
	answer := func(line, usual string) bool {
		if fails(line) {
			return false
		}
		if on != nil {
			if special := on(line); special == "close" {
				return false
			} else if special == "hang" {
				r.ReadByte()
				return false
			} else if special != "" {
				usual = special
			}
		}
		say(usual)
		return true
	}
	more := func(at string) {
		if u.after != nil {
			u.after(at, say)
		}
	}
	if !answer("", "220 upstream.test ESMTP") {
		return
	}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		u.note(&u.commands, strings.TrimSuffix(line, "\r\n"))
		verb := strings.ToUpper(strings.Fields(line + " .")[0])
		reply := "250 2.0.0 ok"
		switch verb {
		case "EHLO":
			caps := u.caps
			if _, secure := conn.(*tls.Conn); u.tls != nil && !secure {
				caps = []string{"PIPELINING", "STARTTLS"}
			}
			reply = "250-upstream.test\n250-" + strings.Join(caps[:len(caps)-1], "\n250-") + "\n250 " + caps[len(caps)-1]
		case "STARTTLS":
			reply = "220 go ahead"
		case "DATA":
			reply = "354 go ahead"
		case "QUIT":
			reply = "221 bye"
		case "AUTH":
			reply = "235 2.7.0 welcome"
		}
		if fails(verb) {
			return
		}
		said := reply
		if on != nil {
			if s := on(strings.TrimSuffix(line, "\r\n")); s != "" {
				said = s
			}
		}
		if said == "close" {
			return
		}
		if said == "hang" {
			r.ReadByte() // until the guard hangs up
			return
		}
		say(said)
		more(verb)
		switch {
		case strings.HasPrefix(said, "421"): // nothing that has come already is run any more
			return
		case verb == "QUIT" && strings.HasPrefix(said, "221"):
			return
		case verb == "STARTTLS" && strings.HasPrefix(said, "220"):
			if fails("handshake") {
				return
			}
			conn = tls.Server(conn, u.tls)
			r = bufio.NewReader(conn)
		case verb == "DATA" && strings.HasPrefix(said, "354"):
			if _, err := r.Peek(1); err == nil {
				if more("body"); fails("body") {
					return
				}
			}
			if !u.takeMessage(conn, r) {
				return
			}
			if !answer(".", "250 2.0.0 queued as 12345") {
				return
			}
		}
	}
}

func (u *upstreamServer) opened(n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.open += n
	u.changed.Broadcast()
}

func (u *upstreamServer) takeMessage(conn net.Conn, r *bufio.Reader) bool {
	got := []byte("\r\n") // of the DATA line
	for {
		c, err := r.ReadByte()
		if err != nil {
			u.note(&u.broken, string(got[2:]))
			return false
		}
		got = append(got, c)
		if u.cutAt > 0 && len(got) > u.cutAt {
			u.note(&u.broken, string(got[2:]))
			fmt.Fprintf(conn, "%s\r\n", u.cutWith)
			return false
		}
		for _, end := range u.endsAt {
			if bytes.HasSuffix(got, []byte(end)) {
				u.note(&u.messages, string(got[2:max(2, len(got)-3)]))
				return true
			}
		}
	}
}

func (u *upstreamServer) note(list *[]string, s string) {
	u.mu.Lock()
	if list == &u.messages {
		u.finished++
	}
	if u.keepLast && len(*list) >= 100 {
		*list = (*list)[:0]
	}
	*list = append(*list, s)
	u.changed.Broadcast()
	u.mu.Unlock()
}

func (u *upstreamServer) got() (commands, messages, broken []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]string{}, u.commands...), append([]string{}, u.messages...), append([]string{}, u.broken...)
}

// totals returns the commands noted, how many messages were finished, and how
// many broke off.
func (u *upstreamServer) totals() (commands []string, finished, broken int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]string{}, u.commands...), u.finished, len(u.broken)
}

// waitFor waits until the condition holds; it is checked at each change.
func (u *upstreamServer) waitFor(what string, cond func() bool) {
	u.t.Helper()
	stop := time.AfterFunc(patience, func() { u.mu.Lock(); u.changed.Broadcast(); u.mu.Unlock() })
	defer stop.Stop()
	deadline := time.Now().Add(patience)
	u.mu.Lock()
	defer u.mu.Unlock()
	for !cond() {
		if time.Now().After(deadline) {
			u.t.Fatalf("waited in vain for %s; commands %q, messages %d, broken %d", what, u.commands, len(u.messages), len(u.broken))
		}
		u.changed.Wait()
	}
}

// A guard is a server under test.
type guard struct {
	*Server
	*settings // that it began with
	t         testing.TB
	reg       *prometheus.Registry
	log       *syncBuffer
	refs      *told
}

// told are the references that clients were told.
type told struct {
	mu   sync.Mutex
	refs []string
}

// cut takes the reference from the end of a reply, and keeps it.
func (r *told) cut(reply string) string {
	at := strings.LastIndex(reply, " (ref ")
	if r == nil || at < 0 || len(reply) != at+len(" (ref 7QX2MD)") {
		return reply
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refs = append(r.refs, reply[at+len(" (ref "):len(reply)-1])
	return reply[:at]
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

type setup struct {
	listen   string
	settings policy.Settings
	limits   Limits
	upstream upstream.Server
	state    string       // of unfinished sends
	route    func(*Route) // adjusts how clients are received
	users    string       // file
	level    slog.Level   // of the log
}

func defaults(address string) setup {
	return setup{
		listen:   "127.0.0.1:0",
		settings: policy.Settings{Limits: policy.Limits{policy.External: 10, policy.Organisations: policy.Unlimited, policy.Total: policy.Unlimited}, Action: policy.Reject, Override: true, StripBcc: true, BareNewline: policy.RejectBare},
		limits: Limits{Connections: 1000, ConnectionsPerClient: 1000, Recipients: 1000, HeaderBytes: 1 << 20, LineBytes: 1 << 17,
			BufferBytes: 1 << 28, Idle: patience, Stall: patience, Connect: patience, UpstreamReply: patience, TimeBudget: patience},
		upstream: upstream.Server{Address: address, TLS: upstream.TLSNone, Relay: true},
		state:    "memory",
		route:    func(*Route) {},
	}
}

// newGuard starts a guard before an upstream; change adjusts its set-up.
func newGuard(t testing.TB, u *upstreamServer, change ...func(*setup)) *guard {
	t.Helper()
	u.once.Do(u.start)
	s := defaults(u.listener.Addr().String())
	for _, c := range change {
		c(&s)
	}
	p, err := policy.New(s.settings)
	if err != nil {
		t.Fatal(err)
	}
	g := &guard{t: t, log: &syncBuffer{}, refs: &told{}}
	m := NewMetrics([]string{"test"}, p.RuleNames(), Build{"test", "none", "go"})
	g.reg = m.registry
	sends, err := unfinished.Open(t.Context(), s.state)
	if err != nil {
		t.Fatal(err)
	}
	route := Route{Name: "test", Listen: s.listen, UsersFile: s.users, AuthRequired: s.users != "", Upstream: s.upstream}
	s.route(&route)
	g.Server = NewServer([]Route{route}, s.limits, p, sends, m, slog.New(slog.NewTextHandler(g.log, &slog.HandlerOptions{Level: s.level})))
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	g.settings = g.inForce.Load()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := g.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := sends.Close(); err != nil {
			t.Errorf("closing the memory of sends: %v", err)
		}
		g.checkPrivacy()
		g.checkReferences()
		if left := g.buffers.Left(); left != s.limits.BufferBytes {
			t.Errorf("%d bytes of the budget were not given back", s.limits.BufferBytes-left)
		}
	})
	return g
}

// with is the guard for a part of the test.
func (g *guard) with(t testing.TB) *guard {
	return &guard{g.Server, g.settings, t, g.reg, g.log, g.refs}
}

// checkPrivacy: no address reaches the log or the metrics, whatever the test.
func (g *guard) checkPrivacy() {
	g.t.Helper()
	metrics, err := testutil.GatherAndFormat(g.reg, expfmt.TypeTextPlain)
	if err != nil {
		g.t.Fatal(err)
	}
	for name, text := range map[string]string{"log": g.log.String(), "metrics": string(metrics)} {
		if strings.Contains(text, "@") || strings.Contains(text, ".example") {
			g.t.Errorf("the %s holds an address or a domain:\n%s", name, text)
		}
	}
}

// checkReferences: each reference that a client was told is in the log.
func (g *guard) checkReferences() {
	g.t.Helper()
	log := g.log.String()
	for _, ref := range g.refs.refs {
		if !strings.Contains(log, "ref="+ref) {
			g.t.Errorf("a client was told the reference %s, which is not in the log:\n%s", ref, log)
		}
	}
}

// counter returns the value of a counter or gauge; labels are name, value, ….
func (g *guard) counter(name string, labels ...string) float64 {
	g.t.Helper()
	families, err := g.reg.Gather()
	if err != nil {
		g.t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	metric:
		for _, m := range f.GetMetric() {
			have := labelsOf(m.GetLabel())
			for i := 0; i < len(labels); i += 2 {
				if !slices.Contains(have, labels[i]+"="+labels[i+1]) {
					continue metric
				}
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

func labelsOf(pairs []*dto.LabelPair) (all []string) {
	for _, l := range pairs {
		all = append(all, l.GetName()+"="+l.GetValue())
	}
	return all
}

// A client is a raw connection to the guard.
type client struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
	refs *told
}

func (g *guard) tryDial() (net.Conn, error) { return net.Dial("tcp", g.Addr(0).String()) }

func (g *guard) dial() *client {
	g.t.Helper()
	conn, err := g.tryDial()
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(2 * patience))
	return &client{g.t, conn, bufio.NewReader(conn), g.refs}
}

// greeted is a client that has said EHLO.
func (g *guard) greeted() *client {
	g.t.Helper()
	c := g.dial()
	c.want("220")
	c.cmd("EHLO client.test", "250")
	return c
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, s); err != nil {
		c.t.Fatalf("sending %.60q: %v", s, err)
	}
}

// reply reads one reply, its lines joined by LF, without its reference; "" is the
// end.
func (c *client) reply() string {
	c.t.Helper()
	var lines []string
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			if len(lines) > 0 || line != "" {
				c.t.Fatalf("the connection ended within a reply: %q %q", lines, line)
			}
			return ""
		}
		lines = append(lines, strings.TrimSuffix(line, "\r\n"))
		if len(line) < 4 || line[3] != '-' {
			return c.refs.cut(strings.Join(lines, "\n"))
		}
	}
}

// want reads a reply that must begin with prefix.
func (c *client) want(prefix string) string {
	c.t.Helper()
	r := c.reply()
	if !strings.HasPrefix(r, prefix) || prefix == "" && r != "" {
		c.t.Fatalf("got reply %q, want %q…", r, prefix)
	}
	return r
}

func (c *client) cmd(line, prefix string) string {
	c.t.Helper()
	c.send(line + "\r\n")
	return c.want(prefix)
}

// ended checks that the guard has closed the connection.
func (c *client) ended() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.r); len(rest) > 0 {
		c.t.Fatalf("more came before the end: %q (%v)", rest, err)
	}
}

// envelope begins a transaction and ends in DATA.
func (c *client) envelope() {
	c.t.Helper()
	c.cmd("MAIL FROM:<me@home.example>", "250")
	c.cmd("RCPT TO:<you@there.example>", "250")
	c.cmd("DATA", "354")
}

// message sends a message that must get a reply with the prefix.
func (c *client) message(m, prefix string) string {
	c.t.Helper()
	c.envelope()
	c.send(m + ".\r\n")
	return c.want(prefix)
}

// addresses returns n addresses, comma-separated.
func addresses(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("p%d@there.example", i)
	}
	return strings.Join(list, ", ")
}

const plain = "From: me@home.example\r\nTo: you@there.example\r\nSubject: hello\r\n\r\nHow are you?\r\n"

func leaking(n int) string {
	return "From: me@home.example\r\nTo: " + addresses(n) + "\r\nSubject: news\r\n\r\nHello all\r\n"
}

// What the tests know of the wire.
const (
	maxCommandErrors = 20        // of a client, and then it is sent away
	smallPiece       = 32 << 10  // what a message is read with at first
	largePiece       = 256 << 10 // and then
	spoolMemory      = 1 << 20   // what of a message that is held stays in memory
)

// What the tests know of the way upstream.
const (
	maxUnproductive = 20       // commands without a message, on a connection that is kept
	maxReply        = 64 << 10 // bytes
)
