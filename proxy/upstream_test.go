package proxy

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"sendguard/proxy/upstream"
)

// certificate makes an authority and a certificate of it for a name.
func certificate(t *testing.T, name string, until time.Time) (*x509.CertPool, tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return certificateOf(t, key, name, until)
}

// certificateOf is certificate with a given key.
func certificateOf(t *testing.T, key crypto.Signer, name string, until time.Time) (*x509.CertPool, tls.Certificate) {
	t.Helper()
	fatal := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	fatal(err)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour), KeyUsage: x509.KeyUsageCertSign}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	fatal(err)
	ca, err = x509.ParseCertificate(caDER)
	fatal(err)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: until}
	if ip := net.ParseIP(name); ip != nil {
		leaf.DNSNames, leaf.IPAddresses = nil, []net.IP{ip}
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	fatal(err)
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	return pool, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func tomorrow() time.Time { return time.Now().Add(24 * time.Hour) }

func TestUpstreamTLSIsVerifiedAndNeverStripped(t *testing.T) {
	good, cert := certificate(t, "127.0.0.1", tomorrow())
	named, namedCert := certificate(t, "mail.test", tomorrow())
	expired, expiredCert := certificate(t, "127.0.0.1", time.Now().Add(-time.Hour))
	for name, tc := range map[string]struct {
		mode       upstream.TLSMode
		cert       *tls.Certificate
		roots      *x509.CertPool
		serverName string
		want       string
	}{
		"starttls":            {upstream.TLSStartTLS, &cert, good, "", "250"},
		"implicit":            {upstream.TLSImplicit, &cert, good, "", "250"},
		"server_name":         {upstream.TLSStartTLS, &namedCert, named, "mail.test", "250"},
		"wrong name":          {upstream.TLSStartTLS, &namedCert, named, "", "421 4.4.1 Not sent: cannot reach 127.0.0.1: its certificate is for another name"},
		"wrong name implicit": {upstream.TLSImplicit, &namedCert, named, "", "421 4.4.1 Not sent: cannot reach 127.0.0.1: its certificate is for another name"},
		"unknown authority":   {upstream.TLSStartTLS, &cert, named, "", "421 4.4.1 Not sent: cannot reach 127.0.0.1: its certificate is not trusted"},
		"expired":             {upstream.TLSImplicit, &expiredCert, expired, "", "421 4.4.1 Not sent: cannot reach 127.0.0.1: its certificate has expired or is not yet valid"},
		"no TLS there":        {upstream.TLSImplicit, nil, good, "", "421 4.4.1 Not sent: cannot reach 127.0.0.1: it does not begin with TLS (a port for tls: starttls?)"},
		"stripped":            {upstream.TLSStartTLS, nil, good, "", "421 4.4.1 Not sent: cannot reach 127.0.0.1: it does not offer STARTTLS"},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t)
			u.caps = []string{"PIPELINING", "AUTH PLAIN"}
			u.implicit = tc.mode == upstream.TLSImplicit && tc.cert != nil
			if tc.cert != nil {
				u.tls = &tls.Config{Certificates: []tls.Certificate{*tc.cert}}
			}
			g := newGuard(t, u, func(s *setup) {
				s.upstream.TLS, s.upstream.RootCAs, s.upstream.ServerName = tc.mode, tc.roots, tc.serverName
			})
			c := g.dial()
			c.want("220")
			r := c.cmd("EHLO client.test", tc.want)
			if tc.want != "250" {
				c.cmd("HELO client.test", tc.want) // as many clients try next
				c.ended()
				if n := g.counter("sendguard_session_faults_total", "fault", "tls"); n != 1 {
					t.Errorf("fault tls is %v", n)
				}
				if commands, _, _ := u.got(); slices.ContainsFunc(commands, func(s string) bool { return strings.HasPrefix(s, "AUTH") }) {
					t.Errorf("upstream was sent %q", commands)
				}
				return
			}
			if strings.Contains(r, "STARTTLS") || !strings.Contains(r, "AUTH PLAIN") {
				t.Errorf("announced %q", r)
			}
			c.message(plain, "250")
			if _, got, _ := u.got(); !slices.Equal(got, []string{plain}) {
				t.Errorf("upstream got %q", got)
			}
		})
	}
}

func TestWhatIsSaidInTheClearIsNotTakenForEncrypted(t *testing.T) {
	good, cert := certificate(t, "127.0.0.1", tomorrow())
	u := newUpstream(t)
	u.tls = &tls.Config{Certificates: []tls.Certificate{cert}}
	u.on = func(line string) string {
		if line == "STARTTLS" {
			return "220 go ahead\n250-injected\n250 AUTH PLAIN"
		}
		return ""
	}
	c := newGuard(t, u, func(s *setup) { s.upstream.TLS, s.upstream.RootCAs = upstream.TLSStartTLS, good }).dial()
	c.want("220")
	c.cmd("EHLO client.test", "421 4.4.1 Not sent: cannot reach 127.0.0.1: data was injected before TLS")
	c.cmd("QUIT", "221")
	c.ended()
}

func TestAnUpstreamThatFailsAtEachCommand(t *testing.T) {
	lines := []string{"", "EHLO client.test", "MAIL FROM:<me@home.example>", "RCPT TO:<you@there.example>", "DATA", "."}
	for _, how := range []string{"close", "garbage", "999 nonsense", "250-half\n251 way", "200", "354 go on"} {
		for _, at := range lines {
			t.Run(how+" at "+at, func(t *testing.T) {
				u := newUpstream(t)
				u.on = func(line string) string {
					if line == at {
						return how
					}
					return ""
				}
				g := newGuard(t, u)
				c := g.dial()
				c.want("220")
				finish := map[string]string{"DATA": plain + ".\r\n"}
				last := ""
				for _, line := range lines[1:5] {
					c.send(line + "\r\n")
					if last = c.reply(); last[0] >= '4' {
						break
					}
					if finish[line] != "" {
						c.send(finish[line])
						last = c.reply()
					}
				}
				_, got, _ := u.got()
				accepted := strings.HasPrefix(last, "2")
				harmless := how == "200" && at != "" && at != "DATA" || how == "354 go on" && at == "DATA"
				if accepted != harmless {
					t.Errorf("the client was told %q", last)
				}
				if !accepted {
					if last[0] != '4' || strings.Contains(last, "go on") {
						t.Errorf("a fault of the way upstream was %q", last)
					}
					c.conn.Write([]byte("NOOP\r\n"))
					if r := c.reply(); r != "" && r != last && !strings.HasPrefix(r, "421") {
						t.Errorf("the session went on with %q", r)
					}
				}
				if len(got) > 1 || len(got) == 1 && at != "." && !accepted {
					t.Errorf("upstream got %d messages", len(got))
				}
			})
		}
	}
}

func TestAnUpstreamThatHangs(t *testing.T) {
	for _, at := range []string{"", "EHLO client.test", "MAIL FROM:<me@home.example>", "DATA", "."} {
		t.Run("at "+at, func(t *testing.T) {
			u := newUpstream(t)
			u.on = func(line string) string {
				if line == at {
					return "hang"
				}
				return ""
			}
			g := newGuard(t, u, func(s *setup) { s.limits.UpstreamReply = 100 * time.Millisecond })
			c := g.dial()
			c.want("220")
			last := ""
			for _, line := range []string{"EHLO client.test", "MAIL FROM:<me@home.example>", "RCPT TO:<you@there.example>", "DATA", plain + "."} {
				c.send(line + "\r\n")
				if last = c.reply(); last[0] == '4' {
					break
				}
			}
			if want := map[string]string{"": "it sends no greeting (a port for tls: implicit?)"}[at]; last[0] != '4' || !strings.Contains(last, cmp.Or(want, "no answer")) {
				t.Errorf("the client was told %q", last)
			}
			if n := g.counter("sendguard_session_faults_total", "fault", "upstream_timeout"); n != 1 {
				t.Errorf("upstream_timeout is %v", n)
			}
		})
	}
}

func TestAnUnreachableUpstream(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u)
	u.listener.Close()
	c := g.dial()
	c.want("220")
	c.cmd("EHLO client.test", "421 4.4.1 Not sent: cannot reach 127.0.0.1: connection refused")
	c.cmd("HELO client.test", "421 4.4.1 Not sent: cannot reach 127.0.0.1: connection refused")
	c.ended()
	if log := g.log.String(); !strings.Contains(log, `: connection refused"`) {
		t.Errorf("the log says %q", log)
	}
	if n := g.counter("sendguard_upstream_connects_total", "result", "failed"); n != 1 {
		t.Errorf("failed connects: %v", n)
	}
}

func TestAnUpstreamThatTakesNobody(t *testing.T) {
	u := newUpstream(t)
	u.on = func(line string) string {
		return map[string]string{"": "554-5.7.1 not from you\n554 5.7.1 go away"}[line]
	}
	c := newGuard(t, u).dial()
	c.want("220")
	if r := c.cmd("EHLO client.test", "554"); r != "554-5.7.1 not from you\n554 5.7.1 go away" {
		t.Errorf("got %q", r)
	}
	if r := c.cmd("HELO client.test", "554"); r != "554-5.7.1 not from you\n554 5.7.1 go away" {
		t.Errorf("got %q", r)
	}
	c.ended()
}

func TestTheUpstreamTakingLeaveIsPassedOn(t *testing.T) {
	u := newUpstream(t)
	u.on = func(line string) string {
		if strings.HasPrefix(line, "RCPT") {
			return "250 ok\n421 4.3.2 I am going down"
		}
		return ""
	}
	c := newGuard(t, u).greeted()
	c.cmd("MAIL FROM:<me@home.example>", "250")
	c.cmd("RCPT TO:<you@there.example>", "250")
	c.cmd("RCPT TO:<me@there.example>", "421 4.3.2 I am going down")
	c.ended()
}

func TestAReplyTooManyIsNeverTakenForTheNextOne(t *testing.T) {
	u := newUpstream(t)
	u.on = func(line string) string {
		if line == "DATA" {
			return "354 go\n250 accepted before it came"
		}
		return ""
	}
	c := newGuard(t, u).greeted()
	c.message(plain, "451 4.4.2")
	if _, got, _ := u.got(); len(got) > 0 {
		t.Errorf("upstream got %q", got)
	}
}

func TestARouteIntoItselfIsNoLoop(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	u := newUpstream(t)
	g := newGuard(t, u, func(s *setup) { s.upstream.Address, s.listen = addr, addr })
	c := g.dial()
	c.want("220")
	c.cmd("EHLO client.test", "421 4.4.1 Not sent: cannot reach 127.0.0.1: it is sendguard itself")
	c.conn.Close()
	if n := g.counter("sendguard_session_faults_total", "fault", "loop"); n != 1 {
		t.Errorf("fault loop is %v", n)
	}
}

// TestAReplyThatComesTooEarlyIsNeverTakenForAnAnswer: a second reply comes by
// itself, when the guard has read and passed on the first. All replies behind it
// would be out of step by one, and a message would look accepted that was not.
func TestAReplyThatComesTooEarlyIsNeverTakenForAnAnswer(t *testing.T) {
	roots, cert := certificate(t, "127.0.0.1", tomorrow())
	for _, mode := range []upstream.TLSMode{upstream.TLSNone, upstream.TLSImplicit} {
		for at, told := range map[string]string{"MAIL": "421 4.4.2", "RCPT": "451 4.4.2", "body": "451 4.4.2"} {
			t.Run(string(mode)+", "+at, func(t *testing.T) {
				u := newUpstream(t)
				if u.implicit = mode == upstream.TLSImplicit; u.implicit {
					u.tls = &tls.Config{Certificates: []tls.Certificate{cert}}
				}
				goOn, said := make(chan struct{}), make(chan struct{})
				u.after = func(verb string, say func(string)) {
					if verb == at {
						<-goOn
						say("250 2.0.0 one more")
						close(said)
					}
				}
				u.on = func(line string) string { return map[string]string{".": "554 5.7.1 it was refused"}[line] }
				g := newGuard(t, u, func(s *setup) { s.upstream.TLS, s.upstream.RootCAs = mode, roots })
				c := g.greeted()
				last := ""
				for _, step := range []struct{ verb, line string }{
					{"MAIL", "MAIL FROM:<me@home.example>\r\n"}, {"RCPT", "RCPT TO:<you@there.example>\r\n"},
					{"DATA", "DATA\r\n"}, {"body", plain}, {".", ".\r\n"},
				} {
					c.send(step.line)
					if step.verb != "body" {
						if last = c.reply(); last[0] >= '4' {
							break
						}
					}
					if step.verb == at {
						close(goOn)
						<-said
					}
				}
				if want := told + " Not sent: trouble with 127.0.0.1: it does not speak SMTP"; last != want {
					t.Errorf("the client was told %q, want %q", last, want)
				}
				if n := g.faults(faultProtocol); n != 1 {
					t.Errorf("protocol faults: %v", n)
				}
			})
		}
	}
}
