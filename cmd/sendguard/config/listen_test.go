package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// listening is a configuration whose route has the given lines.
func listening(listen, upstream string, lines ...string) string {
	return "routes:\n  - listen: " + listen + "\n    upstream: {address: smtp.example.com:587" + upstream + "}\n    " + strings.Join(lines, "\n    ") + "\n"
}

// inFolder loads a configuration in a folder, and returns the error without
// what differs from run to run.
func inFolder(t *testing.T, dir, text string) (*Config, string) {
	t.Helper()
	path := filepath.Join(dir, "c.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err == nil {
		return c, ""
	}
	return c, strings.ReplaceAll(strings.ReplaceAll(err.Error(), path+":", ""), dir, "DIR")
}

// withCertificate is a folder with cert.pem and key.pem, and another key.
func withCertificate(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte, err error) {
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"other-key.pem", "key.pem"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		write(name, "PRIVATE KEY", der, err)
		template := &x509.Certificate{SerialNumber: big.NewInt(1)}
		der, err = x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		write("cert.pem", "CERTIFICATE", der, err) // of the last one
	}
	return dir
}

const pairLine = "tls: {cert: cert.pem, key: key.pem}"

func TestAnOpenDoorIsNoStart(t *testing.T) {
	dir := withCertificate(t)
	const (
		allow   = "routes[0].allow: is needed: other machines can reach %s; name the networks that may use it, [10.0.0.0/8] for example"
		needTLS = "routes[0].tls: is needed: other machines can reach %s, and passwords would travel in the clear (sendguard cert makes a certificate)"
		noLogin = "routes[0].client_auth: is required here, and with upstream.auth: none and no users_file nobody can log in; client_auth: none takes mail from all that allow names"
	)
	for _, tc := range []struct{ text, want string }{
		{listening("0.0.0.0:587", ""), "2: " + fmt.Sprintf(allow, "0.0.0.0:587") + "\n2: " + fmt.Sprintf(needTLS, "0.0.0.0:587")},
		{listening("':587'", "", "allow: []"), "2: " + fmt.Sprintf(needTLS, ":587") + "\n4: " + fmt.Sprintf(allow, ":587")},
		{listening("'[::]:587'", "", pairLine), "2: " + fmt.Sprintf(allow, "[::]:587")},
		{listening("mail.example.com:587", "", pairLine), "2: " + fmt.Sprintf(allow, "mail.example.com:587")},
		{listening("192.0.2.1:587", ", auth: none", "allow: [0.0.0.0/0]", "client_auth: none"), "4: routes[0].allow: 0.0.0.0/0 is nearly everybody, and with client_auth: none nobody logs in: an open door"},
		{listening("192.0.2.1:587", ", auth: none", "allow: [128.0.0.0/1, \"::/1\"]", "client_auth: none"), "4: routes[0].allow: 128.0.0.0/1 is nearly everybody, and with client_auth: none nobody logs in: an open door\n4: routes[0].allow: ::/1 is nearly everybody, and with client_auth: none nobody logs in: an open door"},
		{listening("192.0.2.1:587", "", "allow: [10.0.0.0/8]"), "2: " + fmt.Sprintf(needTLS, "192.0.2.1:587")},
		{listening("'[fe80::1%eth0]:587'", "", "allow: [10.0.0.0/8]", "client_auth: none"), "2: " + fmt.Sprintf(needTLS, "[fe80::1%eth0]:587")},
		{listening("192.0.2.1:587", "", "allow: [10.0.0.0/8]", "tls: {mode: implicit}"), "5: " + fmt.Sprintf(needTLS, "192.0.2.1:587")},
		{listening("192.0.2.1:587", ", auth: none", "allow: [10.0.0.0/8]"), "2: " + noLogin},
		{listening("192.0.2.1:587", ", auth: none", "allow: [10.0.0.0/8]", "client_auth: required"), "5: " + noLogin},
		{listening("127.0.0.1:1587", ", auth: none", "client_auth: required"), "4: " + noLogin},
		{listening("127.0.0.1:1587", "", "proxy_protocol: true"), "4: routes[0].proxy_protocol: needs allow: the addresses of the proxies, whose word is taken for where clients are"},
		{listening("127.0.0.1:1587", ", auth: none", "proxy_protocol: true", "allow: [127.0.0.1]"), "2: " + noLogin},
		{listening("systemd:smtp", "", "allow: [10.0.0.0/8]"), "2: " + fmt.Sprintf(needTLS, "systemd:smtp")},
	} {
		if _, got := inFolder(t, dir, tc.text); got != tc.want {
			t.Errorf("%s\ngot  %s\nwant %s", tc.text, got, tc.want)
		}
	}
}

func TestBadListenersNameFileLineAndKey(t *testing.T) {
	dir := withCertificate(t)
	local := func(lines ...string) string { return listening("127.0.0.1:1587", "", lines...) }
	for _, tc := range []struct{ text, want string }{
		{listening("localhost", ""), `2: routes[0].listen: "localhost" is not host:port, unix:/path or systemd:NAME`},
		{listening("unix:guard.sock", ""), `2: routes[0].listen: "unix:guard.sock": the path of a socket must be absolute`},
		{listening("'systemd:'", ""), `2: routes[0].listen: "systemd:": systemd: and the FileDescriptorName= of the socket unit`},
		{listening("unix:/run/guard.sock", "", "allow: [10.0.0.0/8]"), `4: routes[0].allow: a unix socket has no networks; its mode says who may use it`},
		{local("allow: [10.0.0.0/33]"), `4: routes[0].allow[0]: "10.0.0.0/33": want a network or an address, 10.0.0.0/8 or fd00::1 for example`},
		{local("allow: [127.0.0.1, home]"), `4: routes[0].allow[1]: "home": want a network or an address, 10.0.0.0/8 or fd00::1 for example`},
		{local("allow: ['::ffff:10.0.0.0/104']"), `4: routes[0].allow[0]: "::ffff:10.0.0.0/104": want a network or an address, 10.0.0.0/8 or fd00::1 for example`},
		{local("allow: ['fe80::1%eth0']"), `4: routes[0].allow[0]: "fe80::1%eth0": want a network or an address, 10.0.0.0/8 or fd00::1 for example`},
		{local("allow: 10.0.0.0/8"), `4: routes[0].allow: want a list: [a, b]`},
		{local("client_auth: maybe"), `4: routes[0].client_auth: "maybe" is none of required, none`},
		{local("proxy_protocol: v2"), `4: routes[0].proxy_protocol: "v2" is not true or false`},
		{local(`mode: "0660"`), `4: routes[0].mode: is for listen: unix:/path`},
		{local("mode: rw"), `4: routes[0].mode: "rw": want an octal mode like 0660`},
		{local(`mode: "0999"`), `4: routes[0].mode: "0999": want an octal mode like 0660`},
		{local(`mode: "4755"`), `4: routes[0].mode: "4755": want an octal mode like 0660`},
		{local("tls: {cert: cert.pem}"), `4: routes[0].tls.key: is needed with a certificate`},
		{local("tls: {key: key.pem}"), `4: routes[0].tls.cert: is needed with a key`},
		{local("tls: {cert: cert.pem, key: key.pem, mode: none}"), `4: routes[0].tls.mode: "none" is none of starttls, implicit`},
		{local("tls: {cert: none.pem, key: key.pem}"), `4: routes[0].tls: open DIR/none.pem: no such file or directory`},
		{local("tls: {cert: cert.pem, key: other-key.pem}"), `4: routes[0].tls: tls: private key does not match public key`},
		{local("tls: cert.pem"), `4: routes[0].tls: want keys with values below it`},
		{listening("unix:/run/a.sock", "") + "  - listen: unix:/run/a.sock\n    upstream: {address: x.example.com:25}\n", `5: routes[1].listen: unix:/run/a.sock is taken by route route1`},
		{strings.Replace(listening("0.0.0.0:1587", "", "allow: [10.0.0.0/8]", pairLine), "smtp.example.com:587", "127.0.0.1:1587", 1), `3: routes[0].upstream.address: 127.0.0.1:1587 is where route route1 listens: mail would go round in circles`},
		{listening("127.0.0.1:1587", "") + "metrics: {listen: ':1587'}\n", `5: metrics.listen: :1587 is taken by route route1`},
	} {
		if _, got := inFolder(t, dir, tc.text); got != tc.want {
			t.Errorf("%s\ngot  %s\nwant %s", tc.text, got, tc.want)
		}
	}
}

func TestWhoMustLogInFollowsFromWhereClientsAre(t *testing.T) {
	dir := withCertificate(t)
	for _, tc := range []struct{ text, want string }{
		{listening("127.0.0.1:1587", ""), clientAuthNone},
		{listening("'[::1]:1587'", ""), clientAuthNone},
		{listening("localhost:1587", "", "allow: [127.0.0.1]"), clientAuthNone},
		{listening("unix:/run/guard.sock", "", "mode: 0660"), clientAuthNone},
		{listening("systemd:smtp", ""), clientAuthNone}, // until it is known to be more than local
		{listening("systemd:smtp", "", "allow: [10.0.0.0/8]", pairLine), clientAuthRequired},
		{listening("0.0.0.0:587", "", "allow: [10.0.0.0/8]", pairLine), clientAuthRequired},
		{listening("0.0.0.0:587", ", auth: none", "allow: [10.0.0.0/8, 'fd00::1']", "client_auth: none"), clientAuthNone},
		{listening("127.0.0.1:1587", "", "client_auth: required"), clientAuthRequired},
		{listening("127.0.0.1:1587", "", "proxy_protocol: true", "allow: [127.0.0.0/8]"), clientAuthRequired},
		{listening("unix:/run/guard.sock", "", "proxy_protocol: true"), clientAuthRequired},
	} {
		c, err := inFolder(t, dir, tc.text)
		if err != "" || c.Routes[0].ClientAuth != tc.want {
			t.Errorf("%s\nhas client_auth %q, want %q; %s", tc.text, c.Routes[0].ClientAuth, tc.want, err)
		}
	}
}

func TestAnAllowOfManyPiecesIsAsOpenAsAWideOne(t *testing.T) {
	every := func(format string, from, to, step int) (all []string) {
		for n := from; n < to; n += step {
			all = append(all, fmt.Sprintf("%q", fmt.Sprintf(format, n)))
		}
		return all
	}
	for name, tc := range map[string]struct {
		allow []string
		open  bool
	}{
		"256 times /8":                  {every("%d.0.0.0/8", 0, 256, 1), true},
		"all but one /8":                {every("%d.0.0.0/8", 1, 256, 1), true},
		"every other /8":                {every("%d.0.0.0/8", 0, 256, 2), true},
		"two /8 side by side":           {every("%d.0.0.0/8", 10, 12, 1), true},
		"a /8 in pieces, and another":   {append(every("10.%d.0.0/16", 0, 256, 1), "11.0.0.0/8"), true},
		"IPv6 in /16":                   {every("%x::/16", 0x2000, 0x4000, 1), true},
		"two /16 of IPv6":               {every("%x::/16", 0x2000, 0x2002, 1), true},
		"IPv4 and IPv6":                 {append(every("%d.0.0.0/8", 0, 256, 1), every("%x::/16", 0x2000, 0x4000, 1)...), true},
		"one /8":                        {[]string{"10.0.0.0/8"}, false},
		"one /8 twice, and parts of it": {[]string{"10.0.0.0/8", "10.0.0.0/8", "10.1.0.0/16", "10.2.3.4"}, false},
		"one /8 in pieces":              {every("10.%d.0.0/16", 0, 256, 1), false},
		"the private networks":          {[]string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8"}, false},
		"one of each":                   {[]string{"10.0.0.0/8", "\"2001::/16\""}, false},
	} {
		_, got := inFolder(t, t.TempDir(), listening("192.0.2.1:587", ", auth: none", "allow: ["+strings.Join(tc.allow, ", ")+"]", "client_auth: none"))
		want := ""
		if tc.open {
			want = "4: routes[0].allow: these networks together are nearly everybody, and with client_auth: none nobody logs in: an open door"
		}
		if got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}
