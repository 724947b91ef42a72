package proxy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"time"
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
			g := newGuard(t, u, func(s *setup) { s.upstream.TLS, s.upstream.RootCAs = TLSStartTLS, tc.roots })
			c := g.dial()
			c.want("220")
			if told := c.cmd("EHLO client.test", "421 4.4.1"); strings.Contains(told, "issued by") {
				t.Errorf("the client is told %q", told)
			}
			c.conn.Close()
			_, err := Probe(t.Context(), g.routes[0].Upstream, g.limits.Timeouts())
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

// A stranger has written what stands in a certificate.
func TestWhatACertificateSaysDoesNoHarmInALog(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"a\x1b[2Jb", "c\nd=e", strings.Repeat("x", 250)}
	for range 20 {
		names = append(names, "more.test")
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: tomorrow(), DNSNames: names[2:],
		Subject: pkix.Name{CommonName: names[0]}, EmailAddresses: []string{"root@more.test"}}
	issuer := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{Organization: []string{names[1]}, CommonName: "root@more.test"}}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	words := certificateWords(cert)
	if strings.ContainsAny(words, "\x1b\n@") || len(words) > 3*maxCertificateText {
		t.Errorf("%d bytes: %q", len(words), words)
	}
	if words := certificateWords(&x509.Certificate{}); !strings.HasPrefix(words, "it is for no name; issued by ") {
		t.Errorf("an empty one: %q", words)
	}
}
