package main

import (
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func readCertificate(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(text)
	if block == nil || len(rest) > 0 {
		t.Fatalf("%s holds %q", path, text)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// withCertificate is a folder with cert.pem and key.pem.
func withCertificate(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if status, _, stderr := command(t, "cert", "--dir", dir); status != 0 {
		t.Fatal(stderr)
	}
	return dir
}

// contents are the files of a folder.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(text)
	}
	return all
}

func TestACertificateIsForThisMachineAndTheNamesGiven(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new folder")
	status, out, stderr := command(t, "cert", "--dir", dir, "Mail.Example.com", "192.0.2.1", "localhost")
	if status != 0 {
		t.Fatal(stderr)
	}
	for _, want := range []string{
		"a certificate for localhost, mail.example.com, 127.0.0.1, ::1, 192.0.2.1, until ",
		`tls: {cert: "` + dir + `/cert.pem", key: "` + dir + `/key.pem", mode: starttls}`,
		`tls_trust_file "` + dir + `/ca.pem"`, "Thunderbird", "security add-trusted-cert", "update-ca-certificates", "--cacert", "cafile=",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	for name, mode := range map[string]os.FileMode{"ca.pem": 0o644, "ca-key.pem": 0o600, "cert.pem": 0o644, "key.pem": 0o600} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if n := len(contents(t, dir)); n != 4 {
		t.Errorf("there are %d files", n)
	}

	ca, cert := readCertificate(t, filepath.Join(dir, "ca.pem")), readCertificate(t, filepath.Join(dir, "cert.pem"))
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	for host, good := range map[string]bool{"localhost": true, "127.0.0.1": true, "::1": true, "mail.example.com": true, "192.0.2.1": true, "example.com": false, "192.0.2.2": false} {
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); (err == nil) != good {
			t.Errorf("%s: %v", host, err)
		}
	}
	if !ca.IsCA || !ca.MaxPathLenZero || cert.IsCA || ca.PublicKeyAlgorithm != x509.ECDSA {
		t.Error("the authority is none, or can make others")
	}
	if days := cert.NotAfter.Sub(cert.NotBefore).Hours() / 24; days > 825 || days < 800 {
		t.Errorf("the certificate holds %.0f days", days)
	}
}

func TestTheKeyOfAnAuthorityIsOfNoUseForOtherNames(t *testing.T) {
	h, err := hostsOf([]string{"mail.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	ca, err := newAuthority(h, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []hosts{
		{names: []string{"bank.example.com"}},
		{names: []string{"localhost"}, ips: []net.IP{net.ParseIP("192.0.2.1")}},
	} {
		if _, err := ca.certify(other, time.Now()); err == nil {
			t.Errorf("a certificate for %s holds", other)
		}
	}
}

func TestAnAuthorityIsUsedAgainAndTheCertificateReplaced(t *testing.T) {
	dir := t.TempDir()
	if status, _, stderr := command(t, "cert", "--dir", dir, "example.com"); status != 0 {
		t.Fatal(stderr)
	}
	before := contents(t, dir)
	status, out, stderr := command(t, "cert", "--dir", dir, "mail.example.com") // below a name of the authority
	if status != 0 {
		t.Fatal(stderr)
	}
	after := contents(t, dir)
	for name, changed := range map[string]bool{"ca.pem": false, "ca-key.pem": false, "cert.pem": true, "key.pem": true} {
		if (before[name] != after[name]) != changed {
			t.Errorf("%s: changed is not %v", name, changed)
		}
		word := map[bool]string{true: "replaced", false: "kept"}[changed]
		if !slices.ContainsFunc(strings.Split(out, "\n"), func(line string) bool {
			return strings.HasPrefix(line, filepath.Join(dir, name)+" ") && strings.Contains(line, word)
		}) && name != "ca-key.pem" {
			t.Errorf("it does not say that %s is %s:\n%s", name, word, out)
		}
	}
}

// TestARenewedCertificateKeepsItsNames: a mail client that uses one of them would
// not know it any more.
func TestARenewedCertificateKeepsItsNames(t *testing.T) {
	dir := t.TempDir()
	if status, _, stderr := command(t, "cert", "--dir", dir, "mail.example.com", "192.0.2.1"); status != 0 {
		t.Fatal(stderr)
	}
	status, out, stderr := command(t, "cert", "--dir", dir, "smtp.mail.example.com")
	if want := "a certificate for localhost, smtp.mail.example.com, mail.example.com, 127.0.0.1, ::1, 192.0.2.1, until "; status != 0 || !strings.Contains(out, want) {
		t.Errorf("%d %q %s", status, stderr, out)
	}
	cert := readCertificate(t, filepath.Join(dir, "cert.pem"))
	for _, host := range []string{"mail.example.com", "smtp.mail.example.com", "192.0.2.1", "localhost"} {
		if err := cert.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatIsNotOursIsNotOverwritten(t *testing.T) {
	made := withCertificate(t)
	for name, tc := range map[string]struct {
		files []string // of another folder
		args  []string
		want  string
	}{
		"a certificate of another authority": {[]string{"cert.pem", "key.pem"}, nil, "DIR/cert.pem or DIR/key.pem is there and not of this authority: use another folder, or move them away"},
		"a key alone":                        {[]string{"key.pem"}, nil, "DIR/cert.pem or DIR/key.pem is there and not of this authority: use another folder, or move them away"},
		"an authority without its key":       {[]string{"ca.pem"}, nil, "the authority cannot be used: open DIR/ca-key.pem: no such file or directory"},
		"a key without its authority":        {[]string{"ca-key.pem"}, nil, "the authority cannot be used: open DIR/ca.pem: no such file or directory"},
		"an authority for other names": {[]string{"ca.pem", "ca-key.pem"}, []string{"mail.example.com"},
			"DIR/ca.pem is for localhost, 127.0.0.1, ::1: x509: a root or intermediate certificate is not authorized to sign for this name: DNS name \"mail.example.com\" is not permitted by any constraint (use another folder, or move ca.pem and ca-key.pem away)"},
		"no name": {nil, []string{"mail example"}, `"mail example" is no host name and no address`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, f := range tc.files {
				text, err := os.ReadFile(filepath.Join(made, f))
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, f), text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			before := contents(t, dir)
			status, out, stderr := command(t, append([]string{"cert", "--dir", dir}, tc.args...)...)
			if got := strings.TrimSpace(strings.ReplaceAll(stderr, dir, "DIR")); status != exitUsage || got != tc.want || out != "" {
				t.Errorf("status %d, %q\ngot  %s\nwant %s", status, out, got, tc.want)
			}
			if after := contents(t, dir); len(after) != len(before) {
				t.Errorf("there are %d files now", len(after))
			} else {
				for f := range before {
					if before[f] != after[f] {
						t.Errorf("%s was changed", f)
					}
				}
			}
		})
	}
}
