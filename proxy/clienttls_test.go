package proxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sendguard/proxy/upstream"
)

// A pair is a certificate in files, as a route has it.
type pair struct {
	ClientTLS
	roots *x509.CertPool
}

func newPair(t *testing.T, mode upstream.TLSMode) *pair {
	t.Helper()
	dir := t.TempDir()
	p := &pair{ClientTLS: ClientTLS{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem"), Mode: mode}}
	p.renew(t)
	return p
}

// renew puts another certificate, of another authority, into the files.
func (p *pair) renew(t *testing.T) {
	t.Helper()
	roots, cert := certificate(t, "127.0.0.1", tomorrow())
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	p.roots = roots
	writePEM(t, p.CertFile, "CERTIFICATE", cert.Certificate[0])
	writePEM(t, p.KeyFile, "PRIVATE KEY", key)
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (p *pair) config() *tls.Config { return &tls.Config{RootCAs: p.roots, ServerName: "127.0.0.1"} }

// on has the guard's route use the pair.
func (p *pair) on(s *setup) { s.route = func(r *Route) { r.TLS = &p.ClientTLS } }

// startTLS secures the client's side.
func (c *client) startTLS(config *tls.Config) {
	c.t.Helper()
	c.cmd("STARTTLS", "220 2.0.0")
	c.handshake(config)
}

func (c *client) handshake(config *tls.Config) {
	c.t.Helper()
	conn := tls.Client(c.conn, config)
	if err := conn.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	c.conn, c.r = conn, bufio.NewReader(conn)
}

func (g *guard) faults(f fault) float64 {
	g.t.Helper()
	return g.counter("sendguard_session_faults_total", "fault", string(f))
}

func TestAMessagePassesThroughClientTLS(t *testing.T) {
	for _, mode := range []upstream.TLSMode{upstream.TLSStartTLS, upstream.TLSImplicit} {
		t.Run(string(mode), func(t *testing.T) {
			u, p := newUpstream(t), newPair(t, mode)
			c := newGuard(t, u, p.on).dial()
			if mode == upstream.TLSImplicit {
				c.handshake(p.config())
			}
			c.want("220")
			if mode == upstream.TLSStartTLS {
				if got := c.cmd("EHLO client.test", "250"); got != "250-localhost\n250-PIPELINING\n250-ENHANCEDSTATUSCODES\n250 STARTTLS" {
					t.Errorf("before TLS it announces %q", got)
				}
				c.startTLS(p.config())
				c.cmd("MAIL FROM:<me@home.example>", "503") // RFC 3207 section 4.2: EHLO again
			}
			if got := c.cmd("EHLO client.test", "250"); strings.Contains(got, "STARTTLS") || !strings.Contains(got, "AUTH PLAIN") {
				t.Errorf("within TLS it announces %q", got)
			}
			c.cmd("STARTTLS", "503 5.5.1")
			c.cmd("AUTH PLAIN "+b64("\x00me\x00secret"), "235")
			large := plain + strings.Repeat(strings.Repeat("x", 998)+"\r\n", 500)
			c.message(large, "250 2.0.0 queued as 12345")
			c.message(leaking(43), "550 5.7.1")
			c.cmd("QUIT", "221")
			c.ended()
			if _, got, _ := u.got(); !slices.Equal(got, []string{large}) {
				t.Errorf("upstream got %d messages", len(got))
			}
		})
	}
}

func TestNothingButAGreetingIsTakenBeforeSTARTTLS(t *testing.T) {
	u, p := newUpstream(t), newPair(t, upstream.TLSStartTLS)
	g := newGuard(t, u, p.on)
	c := g.dial()
	c.want("220")
	for _, line := range []string{"MAIL FROM:<me@home.example>", "RCPT TO:<you@there.example>", "DATA", "AUTH PLAIN " + b64("\x00me\x00secret"), "VRFY me"} {
		c.cmd(line, "530 5.7.0 Must issue a STARTTLS command first")
	}
	c.cmd("HELO client.test", "250 localhost")
	c.cmd("NOOP", "250")
	c.cmd("RSET", "250")
	c.cmd("STARTTLS now", "501 5.5.4")
	c.cmd("QUIT", "221")
	c.ended()
	if n := g.counter("sendguard_upstream_connects_total"); n != 0 {
		t.Errorf("%v connections went upstream", n)
	}
}

func TestWhatComesBehindSTARTTLSInTheClearIsNeverRun(t *testing.T) {
	u, p := newUpstream(t), newPair(t, upstream.TLSStartTLS)
	g := newGuard(t, u, p.on)
	c := g.dial()
	c.want("220")
	c.send("EHLO client.test\r\nSTARTTLS\r\nEHLO evil.test\r\nMAIL FROM:<evil@home.example>\r\n")
	c.want("250-")
	c.want("421 4.7.0 Something came behind STARTTLS in the clear")
	c.ended()
	// What comes only after the 220 is no handshake.
	c = g.dial()
	c.want("220")
	c.cmd("STARTTLS", "220")
	c.send("EHLO evil.test\r\nMAIL FROM:<evil@home.example>\r\n")
	c.alerted()
	if n := g.counter("sendguard_upstream_connects_total"); n != 0 {
		t.Errorf("%v connections went upstream", n)
	}
	if g.faults(faultInjection) != 1 || g.faults(faultClientTLS) != 1 {
		t.Errorf("faults: %v and %v", g.faults(faultInjection), g.faults(faultClientTLS))
	}
}

// alerted checks that the connection ends with at most a TLS alert.
func (c *client) alerted() {
	c.t.Helper()
	var rest bytes.Buffer
	if _, err := rest.ReadFrom(c.r); err != nil || rest.Len() > 7 || rest.Len() > 0 && rest.Bytes()[0] != 21 {
		c.t.Errorf("it ended with %q, %v", rest.String(), err)
	}
}

func TestWhatIsNotTLSOnATLSPortIsEnded(t *testing.T) {
	for name, sent := range map[string]string{
		"a mail client without TLS": "EHLO client.test\r\nMAIL FROM:<me@home.example>\r\n",
		"a browser":                 "POST / HTTP/1.1\r\nHost: localhost\r\n\r\nMAIL FROM:<me@home.example>\r\n",
		"garbage":                   strings.Repeat("\x00\xff\x80", 20_000),
		"half a handshake":          "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"nothing":                   "",
	} {
		t.Run(name, func(t *testing.T) {
			u, p := newUpstream(t), newPair(t, upstream.TLSImplicit)
			g := newGuard(t, u, p.on, func(s *setup) { s.limits.Idle = 300 * time.Millisecond })
			c := g.dial()
			start := time.Now()
			c.send(sent)
			c.alerted()
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("it took %v", took)
			}
			if g.faults(faultClientTLS) != 1 || g.counter("sendguard_upstream_connects_total") != 0 {
				t.Error("the fault is not counted, or something went upstream")
			}
		})
	}
}

func TestAPortThatIsOnlyLookedAtIsNoFault(t *testing.T) {
	p := newPair(t, upstream.TLSImplicit)
	g := newGuard(t, newUpstream(t), p.on)
	conn, err := g.tryDial()
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if err := g.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := g.faults(faultClientTLS); n != 0 {
		t.Errorf("%v faults", n)
	}
}

func TestAStopDoesNotWaitForAHandshake(t *testing.T) {
	p := newPair(t, upstream.TLSImplicit)
	g := newGuard(t, newUpstream(t), p.on)
	c := g.dial()
	start := time.Now()
	if err := g.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.ended()
	if took := time.Since(start); took > patience/2 {
		t.Errorf("it took %v", took)
	}
}

func TestOldTLSVersionsAreRefused(t *testing.T) {
	p := newPair(t, upstream.TLSImplicit)
	g := newGuard(t, newUpstream(t), p.on)
	for version, taken := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		config := p.config()
		config.MinVersion, config.MaxVersion = version, version
		if err := tls.Client(g.dial().conn, config).Handshake(); (err == nil) != taken {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
}

func TestAClientThatDistrustsTheCertificateIsLogged(t *testing.T) {
	p, other := newPair(t, upstream.TLSImplicit), newPair(t, upstream.TLSImplicit)
	g := newGuard(t, newUpstream(t), p.on)
	c := g.dial()
	if err := tls.Client(c.conn, other.config()).Handshake(); err == nil {
		t.Fatal("it was trusted")
	}
	c.ended()
	if log := g.log.String(); !strings.Contains(log, "fault=client_tls") || !strings.Contains(log, "tls: bad certificate (does the client trust the certificate?)") {
		t.Errorf("the log has\n%s", log)
	}
}

func TestAReplacedCertificateIsUsedByTheNextHandshake(t *testing.T) {
	p := newPair(t, upstream.TLSImplicit)
	g := newGuard(t, newUpstream(t), p.on)
	old := p.config()
	g.dial().handshake(old)
	p.renew(t)
	g.dial().handshake(p.config())

	// A pair that does not fit together keeps the one that did.
	fitting := p.config()
	half := newPair(t, upstream.TLSImplicit)
	if err := os.Rename(half.CertFile, p.CertFile); err != nil {
		t.Fatal(err)
	}
	g.dial().handshake(fitting)
	g.dial().handshake(fitting)
	if n := strings.Count(g.log.String(), "the old one stays"); n != 1 {
		t.Errorf("it was told of %d times", n)
	}
	if err := os.Rename(half.KeyFile, p.KeyFile); err != nil {
		t.Fatal(err)
	}
	g.dial().handshake(half.config())

	// So does one that is gone.
	if err := os.Remove(p.KeyFile); err != nil {
		t.Fatal(err)
	}
	g.dial().handshake(half.config())
	if n := strings.Count(g.log.String(), "the old one stays"); n != 2 {
		t.Errorf("it was told of %d times", n)
	}
}

func TestACertificateThatIsGoneIsToldOf(t *testing.T) {
	p := newPair(t, upstream.TLSImplicit)
	g := newGuard(t, newUpstream(t), p.on)
	if err := errors.Join(os.Remove(p.CertFile), os.Remove(p.KeyFile)); err != nil {
		t.Fatal(err)
	}
	g.dial().handshake(p.config())
	g.dial().handshake(p.config())
	if n := strings.Count(g.log.String(), "the old one stays"); n != 1 {
		t.Errorf("it was told of %d times", n)
	}
}

func TestACertificateThatCannotBeReadIsNoStart(t *testing.T) {
	p := newPair(t, upstream.TLSImplicit)
	if err := os.Remove(p.KeyFile); err != nil {
		t.Fatal(err)
	}
	if err := tryStart(t, Route{Listen: "127.0.0.1:0", TLS: &p.ClientTLS}); err == nil || !strings.Contains(err.Error(), "key.pem") {
		t.Errorf("got %v", err)
	}
}

// tryStart opens and closes a server with the route.
func tryStart(t *testing.T, r Route) error {
	t.Helper()
	u := newUpstream(t)
	g := newGuard(t, u)
	r.Name = "test"
	s := NewServer([]Route{r}, g.limits, g.policy, g.sends, g.metrics, g.Server.log)
	err := s.Start()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	return err
}

func TestWhatIsOfferedDependsOnWhoCanReadIt(t *testing.T) {
	offers := []string{"REQUIRETLS", "AUTH PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS SCRAM-SHA-1"}
	const loopback, proxied, secure = "loopback", "proxied", "secure"
	for _, tc := range []struct {
		client      string
		offer, want []string
	}{
		{loopback, offers, []string{"REQUIRETLS", "AUTH PLAIN SCRAM-SHA-256 SCRAM-SHA-1"}},
		{proxied, offers, []string{"AUTH PLAIN SCRAM-SHA-256 SCRAM-SHA-1"}}, // from wherever
		// Offered the plain form alone, a client would say that it could bind to the channel.
		{secure, offers, []string{"REQUIRETLS", "AUTH PLAIN SCRAM-SHA-1"}},
		{secure, []string{"NOTHING"}, nil},
	} {
		u, p := newUpstream(t), newPair(t, upstream.TLSImplicit)
		u.caps = append([]string{"8BITMIME"}, tc.offer...)
		change := func(*setup) {}
		switch tc.client {
		case secure:
			change = p.on
		case proxied:
			change = func(s *setup) { s.route = func(r *Route) { r.ProxyProtocol = true } }
		}
		c := newGuard(t, u, change).dial()
		switch tc.client {
		case secure:
			c.handshake(p.config())
		case proxied:
			c.send("PROXY TCP4 192.0.2.1 192.0.2.2 1000 587\r\n")
		}
		c.want("220")
		var got []string
		for _, line := range strings.Split(c.cmd("EHLO client.test", "250"), "\n") {
			if strings.Contains(line, "REQUIRETLS") || strings.Contains(line, "AUTH") {
				got = append(got, line[4:])
			}
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%+v: offered %q", tc, got)
		}
		if tc.client == secure {
			c.cmd("AUTH SCRAM-SHA-256 "+b64("y,,n=me,r=abc"), "50")
		}
	}
}

func TestAMessageThatBreaksOffWithinTLSIsNeverFinished(t *testing.T) {
	for name, leave := range map[string]func(*client, net.Conn){
		"taking leave":  func(c *client, _ net.Conn) { c.conn.Close() },
		"the wire, cut": func(_ *client, wire net.Conn) { wire.Close() }, // no close_notify
	} {
		t.Run(name, func(t *testing.T) {
			u, p := newUpstream(t), newPair(t, upstream.TLSImplicit)
			g := newGuard(t, u, p.on)
			c := g.dial()
			wire := c.conn
			c.handshake(p.config())
			c.want("220")
			c.cmd("EHLO client.test", "250")
			c.envelope()
			c.send(plain + strings.Repeat("more\r\n", 10_000))
			leave(c, wire)
			u.waitFor("the end", func() bool { return len(u.broken) == 1 })
			if _, got, _ := u.got(); len(got) > 0 {
				t.Errorf("upstream got %q", got)
			}
			g.waitUntil("the fault is counted", func() bool { return g.faults(faultClientGone) == 1 })
		})
	}
}
