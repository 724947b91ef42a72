package proxy

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"sendguard/proxy/upstream"
)

// ClientTLS is how clients secure their connections to a route.
type ClientTLS struct {
	CertFile, KeyFile string // PEM; the certificate with those that lead to its authority
	Mode              upstream.TLSMode
}

// handshakeTime bounds the wait for a client's TLS handshake.
const handshakeTime = 30 * time.Second

// implicitTLS reports whether TLS comes before all else.
func (s *session) implicitTLS() bool {
	return s.route.tls != nil && s.route.config.TLS.Mode == upstream.TLSImplicit
}

// secured reports whether the client's side is encrypted.
func (s *session) secured() bool {
	return s.encrypted
}

// isPrivate reports whether nobody else can read what the client's side sends:
// what REQUIRETLS asks of it (RFC 8689 section 2).
func (s *session) isPrivate() bool {
	from := addrPort(s.client.RemoteAddr())
	return s.secured() || !s.route.config.ProxyProtocol && (!from.IsValid() || from.Addr().IsLoopback())
}

// tlsDue reports whether the client must begin TLS before all else.
func (s *session) tlsDue() bool { return s.route.tls != nil && !s.secured() }

// beforeTLS answers a command on a listener with STARTTLS. Nothing goes upstream,
// and the library has seen no EHLO, so the client's one after TLS is its first (RFC
// 3207 section 4.2).
func (s *session) beforeTLS(verb string) []byte {
	switch verb {
	case "NOOP", "RSET":
		s.w.Say([]byte(replyOK))
	case "QUIT":
		return []byte(forLibrary[verb])
	case "EHLO":
		s.w.Say([]byte(replyEhloTLS))
	case "HELO":
		s.w.Say([]byte(replyHelo))
	default:
		s.refuse(replyTLSFirst)
	}
	return nil
}

// startTLS answers STARTTLS. What came behind it in the clear would be taken
// for encrypted: the connection ends, and none of it is run.
func (s *session) startTLS(line []byte) {
	switch {
	case s.route.tls == nil:
		s.refuse(replyNoTLS)
	case s.secured():
		s.refuse(replyTLSAlready)
	case len(bytes.Fields(line)) > 1: // RFC 3207 section 4
		s.refuse(replyTLSParameter)
	case s.w.HasMore():
		s.endFor(replyInjected, faultInjection)
	default:
		s.w.Say([]byte(replyReadyForTLS))
		s.w.Flush()
		s.secure()
	}
}

// secure begins TLS with the client. A handshake that fails ends the
// connection; there is nobody to talk to.
func (s *session) secure() {
	if s.w.IsOver() {
		return
	}
	err := s.w.Replace(handshakeTime, func(conn net.Conn) (net.Conn, error) {
		conn.SetWriteDeadline(time.Now().Add(handshakeTime))
		encrypted := tls.Server(conn, s.route.tls)
		err := encrypted.Handshake()
		if errors.Is(err, io.EOF) {
			err = errLooked
		}
		return encrypted, err
	})
	if err != nil {
		s.notBegun(err, faultClientTLS, clientTLSFault(err))
		return
	}
	s.encrypted = true
}

// clientTLSFault says what went wrong in a handshake, in words of our own: the
// library's may hold what the client sent.
func clientTLSFault(err error) string {
	var alert *net.OpError // theirs or ours, one of a table; OpenSSL's come as "bad record MAC"
	switch {
	case errors.As(err, new(tls.RecordHeaderError)):
		return "it does not begin with TLS (connection security none, or STARTTLS on a port for tls: implicit?)"
	case errors.As(err, &alert) && (alert.Op == "remote error" || alert.Op == "local error"):
		return alert.Err.Error() + " (does the client trust the certificate?)"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer"
	}
	return "no agreement, or connection lost"
}

// withoutDowngrades takes out a mechanism where the upstream has its -PLUS
// form, too. A client on TLS that can bind to its channel and is offered only
// the plain form says so to the server, which must take it for an attack (RFC
// 5802 section 6).
func withoutDowngrades(mechanisms []string, up *upstream.Conn) []string {
	return slices.DeleteFunc(mechanisms, func(name string) bool { return up.HasMechanism(name + "-PLUS") })
}

// A keyPair is a certificate with its key, read again when the files have changed.
type keyPair struct {
	files   ClientTLS
	log     *slog.Logger
	onFault func(fault)

	mu     sync.Mutex
	read   [2]os.FileInfo // what cert is from
	failed [2]os.FileInfo // what could not be used, and was told of; read where nothing has failed since
	cert   *tls.Certificate
}

// tlsConfig reads the certificate of a route and returns what its listener speaks TLS
// with.
func (r *route) tlsConfig() (*tls.Config, error) {
	cert := &keyPair{files: *r.config.TLS, log: r.server.log.With("route", r.config.Name), onFault: func(f fault) { r.server.metrics.fault(r.config.Name, f) }}
	if err := cert.load(cert.look()); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: cert.current}, nil
}

// current returns the certificate for a handshake. Looking at the files costs
// little beside a handshake, so it is done each time. A pair that cannot be
// used (half of it may be new) is told of once, and the old one stays until it
// can.
func (c *keyPair) current(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.look()
	if sameFiles(now, c.read) {
		return c.cert, nil
	}
	switch err := c.load(now); {
	case err == nil:
		c.log.Info("certificate read again")
	case !sameFiles(now, c.failed):
		c.failed = now
		if upstream.OutOfDescriptors(err) {
			c.onFault(faultDescriptors)
		}
		c.log.Error("the changed certificate cannot be used, the old one stays", "error", Reason(err, c.files.CertFile, c.files.KeyFile))
	}
	return c.cert, nil
}

func (c *keyPair) look() (now [2]os.FileInfo) {
	now[0], _ = os.Stat(c.files.CertFile)
	now[1], _ = os.Stat(c.files.KeyFile)
	return now
}

// load reads the pair, as it was seen just before.
func (c *keyPair) load(seen [2]os.FileInfo) error {
	cert, err := tls.LoadX509KeyPair(c.files.CertFile, c.files.KeyFile)
	if err != nil {
		return err
	}
	c.cert, c.read, c.failed = &cert, seen, seen
	return nil
}

func sameFiles(a, b [2]os.FileInfo) bool { return sameFile(a[0], b[0]) && sameFile(a[1], b[1]) }

// sameFile reports whether a file is as it was; nil is one that is not there.
func sameFile(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
