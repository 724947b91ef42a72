package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"sync"
	"time"
)

// rsaKeyExchange are the cipher suites without forward secrecy that are taken
// with TLSCompatibility. Their AES is sound; RC4 and 3DES are not, and are never
// taken.
var rsaKeyExchange = []uint16{
	tls.TLS_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_RSA_WITH_AES_256_CBC_SHA, tls.TLS_RSA_WITH_AES_128_CBC_SHA,
}

// takeOldTLS has a configuration take what old servers have, too. It verifies the
// certificate as before.
func takeOldTLS(config *tls.Config) {
	config.MinVersion = tls.VersionTLS11
	config.CipherSuites = slices.Clone(rsaKeyExchange)
	for _, suite := range tls.CipherSuites() {
		config.CipherSuites = append(config.CipherSuites, suite.ID)
	}
}

// An oldTLS is what is known of an upstream with which there was no agreement.
type oldTLS struct {
	mu    sync.Mutex
	asked time.Time
	words string // what it has; "": not what TLSCompatibility takes
}

// askAgain is how long what was found out holds.
const askAgain = time.Minute

// explain has an upstream that refused to agree on TLS named for what it is, where
// that is why: it is asked by a second handshake. Those who come meanwhile wait for
// the answer. There is no falling back: whoever is between us and the upstream
// could bring that about.
func (d *Dialer) explain(ctx context.Context, as Greeting, opened func(net.Conn), err error) error {
	if err != errNoAgreement || d.old == nil {
		return err
	}
	d.old.mu.Lock()
	defer d.old.mu.Unlock()
	if d.old.asked.IsZero() || time.Since(d.old.asked) >= askAgain {
		d.old.words = d.askForOldTLS(ctx, as, opened)
		d.old.asked = time.Now()
	}
	if d.old.words == "" {
		return err
	}
	return &DialError{Kind: KindTLS, text: d.old.words}
}

// askForOldTLS begins a handshake that takes old TLS and ends it as soon as it is
// known what the upstream would have. Nothing is ever sent over it, so the
// certificate does not matter.
func (d *Dialer) askForOldTLS(ctx context.Context, as Greeting, opened func(net.Conn)) string {
	words := ""
	asks := *d
	asks.wait.Reply = min(d.wait.Reply, d.wait.Connect)
	asks.old, asks.replied = nil, func(string, int) {}
	asks.tls = &tls.Config{ServerName: d.tls.ServerName, InsecureSkipVerify: true, VerifyConnection: func(state tls.ConnectionState) error {
		words = oldTLSWords(state)
		return errors.New("known")
	}}
	takeOldTLS(asks.tls)
	if u, err := asks.open(ctx, as, opened); err == nil {
		u.conn.Close()
	}
	return words
}

func oldTLSWords(state tls.ConnectionState) string {
	const remedy = " (upstream.tls_compatibility: true takes it)"
	switch {
	case state.Version < tls.VersionTLS12:
		return "it has no TLS newer than 1.1" + remedy
	case slices.Contains(rsaKeyExchange, state.CipherSuite):
		return "its TLS has no key exchange but RSA" + remedy
	}
	return ""
}
