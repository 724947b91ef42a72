package proxy

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sendguard/proxy/upstream"

	"github.com/pires/go-proxyproto"
)

func TestWithoutALoginNoMAILGoesUpstream(t *testing.T) {
	u := newUpstream(t)
	u.on = func(line string) string {
		if strings.HasSuffix(line, b64("\x00me\x00wrong")) {
			return "535 5.7.8 no"
		}
		return ""
	}
	g := newGuard(t, u, func(s *setup) { s.route = func(r *Route) { r.AuthRequired = true } })
	c := g.greeted()
	c.cmd("MAIL FROM:<me@home.example>", "530 5.7.0 Authentication required")
	c.cmd("RCPT TO:<you@there.example>", "503")
	c.cmd("DATA", "554")
	c.cmd("AUTH PLAIN "+b64("\x00me\x00wrong"), "535")
	c.cmd("MAIL FROM:<me@home.example>", "530")
	c.cmd("AUTH PLAIN", "235") // this upstream asks for nothing
	c.message(plain, "250")
	c.cmd("RSET", "250")
	c.cmd("EHLO client.test", "250")
	c.message(plain, "250") // the login holds to the end of the connection

	c = g.greeted()
	c.send("MAIL FROM:<evil@home.example>\r\nRCPT TO:<you@there.example>\r\nDATA\r\n" + plain + ".\r\n")
	c.want("530")
	c.want("503")
	c.want("554")
	c.want("421")
	c.ended()
	commands, got, _ := u.got()
	if all := strings.Join(commands, "\n"); strings.Count(all, "MAIL") != 2 || strings.Contains(all, "evil") || len(got) != 2 {
		t.Errorf("upstream was sent %q", commands)
	}
}

// dialFrom is a client with an address of its own on the loopback network.
func (g *guard) dialFrom(ip string) *client {
	g.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	conn, err := d.Dial("tcp", g.Addr(0).String())
	if err != nil {
		g.t.Skipf("no second loopback address here: %v", err)
	}
	g.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(2 * patience))
	return &client{g.t, conn, bufio.NewReader(conn), g.refs}
}

func allow(networks ...string) func(*Route) {
	return func(r *Route) {
		for _, n := range networks {
			r.Allow = append(r.Allow, netip.MustParsePrefix(n))
		}
	}
}

func TestOnlyAllowedNetworksComeIn(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u, func(s *setup) { s.route = allow("10.0.0.0/8", "127.0.0.2/32", "fd00::/8") })
	c := g.dialFrom("127.0.0.2")
	c.want("220")
	c.cmd("EHLO client.test", "250")
	c.message(plain, "250")

	c = g.dial()
	if got := c.reply(); got != "554 5.7.1 This machine may not send mail through sendguard" {
		t.Errorf("the other was told %q", got)
	}
	c.ended()
	if n := g.faults(faultNotAllowed); n != 1 {
		t.Errorf("not_allowed is %v", n)
	}
	if n := g.counter("sendguard_upstream_connects_total"); n != 1 {
		t.Errorf("%v connections went upstream", n)
	}
}

func TestWhoIsNotAllowedHearsNoPlainTextOnATLSPort(t *testing.T) {
	p := newPair(t, upstream.TLSImplicit)
	g := newGuard(t, newUpstream(t), func(s *setup) { s.route = func(r *Route) { r.TLS = &p.ClientTLS; allow("10.0.0.0/8")(r) } })
	g.dial().ended()
	if n := g.faults(faultNotAllowed); n != 1 {
		t.Errorf("not_allowed is %v", n)
	}
}

// proxyHeader is what a proxy says of a connection.
func proxyHeader(t *testing.T, version byte, source, destination string) string {
	t.Helper()
	h := proxyproto.HeaderProxyFromAddrs(version, tcpAddr(source), tcpAddr(destination))
	b, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func tcpAddr(s string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }

const (
	proxyLocal = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
	proxyTLVs  = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x10\x0a\x00\x00\x01\x0a\x00\x00\x02\x04\x00\x02\x4b\x04\x00\x01\x00"
)

func TestProxyHeadersAreTaken(t *testing.T) {
	for name, header := range map[string]string{
		"v1":           proxyHeader(t, 1, "192.0.2.1:40000", "192.0.2.9:587"),
		"v1 IPv6":      proxyHeader(t, 1, "[2001:db8::1]:40000", "[2001:db8::9]:587"),
		"v1 UNKNOWN":   "PROXY UNKNOWN\r\n",
		"v2":           proxyHeader(t, 2, "192.0.2.1:40000", "192.0.2.9:587"),
		"v2 IPv6":      proxyHeader(t, 2, "[2001:db8::1]:40000", "[2001:db8::9]:587"),
		"v2 LOCAL":     proxyLocal,
		"v2 with more": proxyTLVs,
	} {
		for _, mode := range []upstream.TLSMode{upstream.TLSNone, upstream.TLSStartTLS, upstream.TLSImplicit} {
			t.Run(name+" "+string(mode), func(t *testing.T) {
				u, p := newUpstream(t), newPair(t, mode)
				c := newGuard(t, u, func(s *setup) {
					s.route = func(r *Route) {
						if r.ProxyProtocol = true; mode != upstream.TLSNone {
							r.TLS = &p.ClientTLS
						}
					}
				}).dial()
				c.send(header)
				if mode == upstream.TLSImplicit {
					c.handshake(p.config())
				}
				c.want("220")
				if mode == upstream.TLSStartTLS {
					c.startTLS(p.config())
				}
				c.cmd("EHLO client.test", "250")
				c.message(plain, "250")
				c.cmd("QUIT", "221")
				c.ended()
			})
		}
	}
}

func TestWhatComesInOnePacketWithAProxyHeaderIsNotLost(t *testing.T) {
	u := newUpstream(t)
	c := newGuard(t, u, func(s *setup) { s.route = func(r *Route) { r.ProxyProtocol = true } }).dial()
	c.send(proxyHeader(t, 2, "192.0.2.1:40000", "192.0.2.9:587") + "EHLO client.test\r\nMAIL FROM:<me@home.example>\r\nRCPT TO:<you@there.example>\r\nDATA\r\n" + plain + ".\r\nQUIT\r\n")
	for _, code := range []string{"220", "250", "250", "250", "354", "250", "221"} {
		c.want(code)
	}
	if _, got, _ := u.got(); !slices.Equal(got, []string{plain}) {
		t.Errorf("upstream got %q", got)
	}
}

func TestWithoutAProxyHeaderNothingIsRun(t *testing.T) {
	for name, sent := range map[string]string{
		"none":         "EHLO client.test\r\nMAIL FROM:<evil@home.example>\r\n",
		"a browser's":  "POST / HTTP/1.1\r\n\r\n",
		"half of one":  "PROXY TCP4 192.0.2.1",
		"a wrong one":  "PROXY TCP4 192.0.2.1 home 1 2\r\nEHLO client.test\r\n",
		"a long one":   "PROXY TCP4 " + strings.Repeat("1", 2000) + "\r\n",
		"a broken v2":  "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x01\x00",
		"silence":      "",
		"half, binary": "\r\n\r\n\x00\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t)
			g := newGuard(t, u, func(s *setup) {
				s.limits.Idle = 300 * time.Millisecond
				s.route = func(r *Route) { r.ProxyProtocol = true }
			})
			c := g.dial()
			start := time.Now()
			c.send(sent)
			c.ended()
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("it took %v", took)
			}
			if g.faults(faultProxyHeader) != 1 || g.counter("sendguard_upstream_connects_total") != 0 {
				t.Error("the fault is not counted, or something went upstream")
			}
		})
	}
}

func TestConnectionsPerClientAreThoseOfTheProxyHeader(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u, func(s *setup) {
		s.limits.ConnectionsPerClient = 1
		s.route = func(r *Route) { r.ProxyProtocol = true }
	})
	from := func(source string) *client {
		c := g.dial()
		c.send(proxyHeader(t, 1, source, "192.0.2.9:587"))
		return c
	}
	first := from("192.0.2.1:40000")
	first.want("220")
	from("192.0.2.2:40000").want("220")
	second := from("192.0.2.1:40001")
	second.want("421 4.7.0 Too many connections")
	second.ended()
	first.cmd("QUIT", "221")
	first.ended()
	g.waitUntil("the first is gone", func() bool { return g.counter("sendguard_open_sessions") == 1 })
	from("192.0.2.1:40002").want("220")
	if n := g.faults(faultTooManyConns); n != 1 {
		t.Errorf("too_many_connections is %v", n)
	}
}

// waitUntil asks again and again until the condition holds.
func (g *guard) waitUntil(what string, cond func() bool) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	for again := time.Tick(time.Millisecond); !cond(); {
		select {
		case <-again:
		case <-ctx.Done():
			g.t.Fatalf("waited in vain until %s", what)
		}
	}
}

func TestAProxyThatOnlyLooksIsNoFault(t *testing.T) {
	g := newGuard(t, newUpstream(t), func(s *setup) { s.route = func(r *Route) { r.ProxyProtocol = true } })
	conn, err := g.tryDial()
	if err != nil {
		t.Fatal(err)
	}
	conn.(*net.TCPConn).CloseWrite()
	if rest, err := io.ReadAll(conn); len(rest) > 0 || err != nil {
		t.Errorf("got %q, %v", rest, err)
	}
	conn.Close()
	if n := g.faults(faultProxyHeader); n != 0 {
		t.Errorf("%v faults", n)
	}
}
