package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

// How long certificates hold. Apple takes none of more than 825 days for a
// server.
const (
	authorityYears  = 10
	certificateDays = 820
)

// hosts are the names and addresses that a certificate is for.
type hosts struct {
	names []string
	ips   []net.IP
}

var hostName = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$`)

// hostsOf are those of this machine, and what is given besides.
func hostsOf(given []string) (h hosts, err error) {
	for _, name := range append([]string{"localhost", "127.0.0.1", "::1"}, given...) {
		name = strings.ToLower(name)
		if ip := net.ParseIP(name); ip != nil {
			if !slices.ContainsFunc(h.ips, ip.Equal) {
				h.ips = append(h.ips, ip)
			}
		} else if !hostName.MatchString(name) || len(name) > 253 {
			return h, fmt.Errorf("%q is no host name and no address", name)
		} else if !slices.Contains(h.names, name) {
			h.names = append(h.names, name)
		}
	}
	return h, nil
}

// and are the hosts and those of a certificate.
func (h hosts) and(c *x509.Certificate) hosts {
	for _, name := range c.DNSNames {
		if !slices.Contains(h.names, name) {
			h.names = append(h.names, name)
		}
	}
	for _, ip := range c.IPAddresses {
		if !slices.ContainsFunc(h.ips, ip.Equal) {
			h.ips = append(h.ips, ip)
		}
	}
	return h
}

func (h hosts) String() string {
	all := slices.Clone(h.names)
	for _, ip := range h.ips {
		all = append(all, ip.String())
	}
	return strings.Join(all, ", ")
}

// A keyPair is a certificate and its key.
type keyPair struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// newAuthority makes an authority for the hosts and names below theirs. It can
// sign for no others, so that who trusts it has nothing else to fear should
// its key be stolen.
func newAuthority(h hosts, now time.Time) (*keyPair, error) {
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "sendguard local authority " + now.Format(time.DateOnly)},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(authorityYears, 0, 0),
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		PermittedDNSDomainsCritical: true, PermittedDNSDomains: h.names,
	}
	for _, ip := range h.ips {
		if four := ip.To4(); four != nil {
			ip = four
		}
		bits := 8 * len(ip)
		template.PermittedIPRanges = append(template.PermittedIPRanges, &net.IPNet{IP: ip, Mask: net.CIDRMask(bits, bits)})
	}
	return issue(template, nil)
}

// certify makes a certificate for the hosts.
func (ca *keyPair) certify(h hosts, now time.Time) (*keyPair, error) {
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: h.names[0]},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 0, certificateDays),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: h.names, IPAddresses: h.ips,
	}
	if ca.cert.NotAfter.Before(template.NotAfter) {
		template.NotAfter = ca.cert.NotAfter
	}
	pair, err := issue(template, ca)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	_, err = pair.cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now})
	return pair, err
}

// issue makes a key and a certificate, signed by an authority or, where that
// is nil, by itself.
func issue(template *x509.Certificate, by *keyPair) (*keyPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if by == nil {
		by = &keyPair{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, &key.PublicKey, by.key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &keyPair{cert, key}, err
}

// readAuthority reads an authority from its files.
func readAuthority(certFile, keyFile string) (*keyPair, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !pair.Leaf.IsCA {
		return nil, fmt.Errorf("%s is no authority", certFile)
	}
	return &keyPair{pair.Leaf, key}, nil
}

// write writes the pair, a new key with the mode.
func (p *keyPair) write(certFile, keyFile string, mode os.FileMode) error {
	key, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		return err
	}
	return errors.Join(
		replaceFile(keyFile, mode, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
		replaceFile(certFile, 0o644, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert.Raw})))
}
