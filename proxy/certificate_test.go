package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"sendguard/proxy/upstream"
)

// "Its certificate is not trusted" helps nobody who does not know whose.
func TestACertificateThatIsNotAcceptedIsDescribedToTheAdministratorAlone(t *testing.T) {
	good, cert := certificate(t, "127.0.0.1", tomorrow())
	named, namedCert := certificate(t, "mail.test", tomorrow())
	_, expiredCert := certificate(t, "127.0.0.1", time.Now().Add(-time.Hour))
	until := tomorrow().UTC().Format(time.DateOnly)
	for name, tc := range map[string]struct {
		cert  tls.Certificate
		roots *x509.CertPool
		words []string
	}{
		"another name":        {namedCert, named, []string{"its certificate is for another name: it is for mail.test; issued by ", until, "set upstream.server_name"}},
		"an unknown issuer":   {cert, named, []string{"its certificate is not trusted: it is for 127.0.0.1; issued by ", until, "set upstream.ca_file"}},
		"out of its validity": {expiredCert, good, []string{"its certificate has expired or is not yet valid: it is for 127.0.0.1; issued by ", "clock says " + time.Now().UTC().Format(time.DateOnly)}},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t)
			u.tls = &tls.Config{Certificates: []tls.Certificate{tc.cert}}
			g := newGuard(t, u, func(s *setup) { s.upstream.TLS, s.upstream.RootCAs = upstream.TLSStartTLS, tc.roots })
			c := g.dial()
			c.want("220")
			if told := c.cmd("EHLO client.test", "421 4.4.1"); strings.Contains(told, "issued by") {
				t.Errorf("the client is told %q", told)
			}
			c.conn.Close()
			_, err := upstream.Probe(t.Context(), g.routes[0].config.Upstream, g.limits.Timeouts())
			if err == nil {
				t.Fatal("the probe went well")
			}
			line := strings.Join(g.lines("fault=tls"), "\n")
			if !strings.Contains(line, u.listener.Addr().String()+": its certificate") {
				t.Errorf("the log does not name the upstream: %s", line)
			}
			for _, words := range tc.words {
				if !strings.Contains(line, words) || !strings.Contains(err.Error(), words) {
					t.Errorf("%q is not in\n%s\nor not in\n%s", words, line, err)
				}
			}
		})
	}
}
