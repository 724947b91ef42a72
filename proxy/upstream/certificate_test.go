package upstream

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"time"
)

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
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().AddDate(0, 0, 1), DNSNames: names[2:],
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
