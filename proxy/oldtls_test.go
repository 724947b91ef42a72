package proxy

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"sendguard/proxy/upstream"
)

// An oldServer is an upstream whose TLS is old, and counts the handshakes that are
// begun there.
func oldServer(t *testing.T, mode upstream.TLSMode, is *tls.Config) (u *upstreamServer, trust func(*setup), handshakes *atomic.Int32) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	roots, cert := certificateOf(t, key, "127.0.0.1", tomorrow())
	handshakes = &atomic.Int32{}
	is.Certificates = []tls.Certificate{cert}
	is.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		handshakes.Add(1)
		return nil, nil
	}
	u = newUpstream(t)
	u.tls, u.implicit = is, mode == upstream.TLSImplicit
	return u, func(s *setup) {
		s.upstream.TLS, s.upstream.RootCAs = mode, roots
	}, handshakes
}

// oldServers are what the TLS of a server may be like, and what is said of it; ""
// is one that is taken with TLSCompatibility.
func oldServers() map[string]struct {
	is    *tls.Config
	words string
	taken bool // with TLSCompatibility
} {
	const unknown = "the TLS handshake failed"
	type server = struct {
		is    *tls.Config
		words string
		taken bool
	}
	return map[string]server{
		"TLS 1.1 alone": {&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
			"it has no TLS newer than 1.1 (upstream.tls_compatibility: true takes it)", true},
		"RSA key exchange alone": {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}},
			"its TLS has no key exchange but RSA (upstream.tls_compatibility: true takes it)", true},
		"both": {&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_256_CBC_SHA}},
			"it has no TLS newer than 1.1 (upstream.tls_compatibility: true takes it)", true},
		"TLS 1.0 alone": {&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, unknown, false},
		"3DES alone":    {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA}}, unknown, false},
		"RC4 alone":     {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_RC4_128_SHA}}, unknown, false},
	}
}

func TestAServerWithOldTLSIsNamedAndTakenOnlyWhereThatIsSet(t *testing.T) {
	for _, mode := range []upstream.TLSMode{upstream.TLSStartTLS, upstream.TLSImplicit} {
		for name, tc := range oldServers() {
			t.Run(string(mode)+" "+name, func(t *testing.T) {
				u, trust, handshakes := oldServer(t, mode, tc.is)
				g := newGuard(t, u, trust)
				for range 3 { // who comes within a minute hears the same, and nobody asks
					c := g.dial()
					c.want("220")
					c.cmd("EHLO client.test", "421 4.4.1 Not sent: cannot reach 127.0.0.1: "+tc.words)
					c.conn.Close()
				}
				if n := handshakes.Load(); n != 4 {
					t.Errorf("%d handshakes; one for each of 3 clients and one to ask would be 4", n)
				}
				if g.faults(faultTLS) != 3 || !strings.Contains(g.log.String(), `: `+tc.words+`"`) {
					t.Errorf("%v faults, and the log has\n%s", g.faults(faultTLS), g.log.String())
				}
				s := defaults(u.listener.Addr().String())
				trust(&s)
				if _, err := upstream.Probe(context.Background(), s.upstream, s.limits.Timeouts()); err == nil || err.Error() != tc.words {
					t.Errorf("the probe says %v", err)
				}
				commands, _, _ := u.got()
				for _, c := range commands {
					if !strings.HasPrefix(c, "EHLO ") && c != "STARTTLS" {
						t.Errorf("the upstream was sent %q", c)
					}
				}
				g = newGuard(t, u, trust, func(s *setup) { s.upstream.TLSCompatibility = true })
				c := g.dial()
				c.want("220")
				if !tc.taken {
					c.cmd("EHLO client.test", "421 4.4.1 Not sent: cannot reach 127.0.0.1: the TLS handshake failed")
					return
				}
				c.cmd("EHLO client.test", "250")
				c.message(plain, "250")
			})
		}
	}
}

func TestOldTLSIsVerifiedAllTheSame(t *testing.T) {
	for name, tc := range oldServers() {
		if !tc.taken {
			continue
		}
		u, trust, _ := oldServer(t, upstream.TLSStartTLS, tc.is)
		c := newGuard(t, u, trust, func(s *setup) { s.upstream.TLSCompatibility, s.upstream.ServerName = true, "other.test" }).dial()
		c.want("220")
		c.send("EHLO client.test\r\n")
		if r := c.reply(); r != "421 4.4.1 Not sent: cannot reach 127.0.0.1: its certificate is for another name" {
			t.Errorf("%s: %q", name, r)
		}
	}
}

func TestNewTLSIsPreferredWhereOldIsTaken(t *testing.T) {
	u, trust, _ := oldServer(t, upstream.TLSStartTLS, &tls.Config{MinVersion: tls.VersionTLS10})
	g := newGuard(t, u, trust, func(s *setup) { s.upstream.TLSCompatibility = true })
	s := defaults(u.listener.Addr().String())
	trust(&s)
	s.upstream.TLSCompatibility = true
	if offers, err := upstream.Probe(t.Context(), s.upstream, s.limits.Timeouts()); err != nil || !strings.HasPrefix(offers, "TLS 1.3; ") {
		t.Errorf("%q, %v", offers, err)
	}
	g.greeted().message(plain, "250")
}

// TestAServerThatHangsUpIsAskedOnce: it may do so for its TLS, or for anything.
func TestAServerThatHangsUpInTheHandshakeIsAskedOnce(t *testing.T) {
	u, trust, _ := oldServer(t, upstream.TLSImplicit, &tls.Config{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var came atomic.Int32
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			came.Add(1)
			conn.Close()
		}
	}()
	g := newGuard(t, u, trust, func(s *setup) { s.upstream.Address = l.Addr().String() })
	for range 3 {
		c := g.dial()
		c.want("220")
		c.cmd("EHLO client.test", "421 4.4.1 Not sent: cannot reach 127.0.0.1: the TLS handshake failed")
	}
	if came.Load() != 4 {
		t.Errorf("%d connections", came.Load())
	}
}
