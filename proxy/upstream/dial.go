package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"
)

// TLSMode is how the connection to an upstream is secured, or that of a client.
type TLSMode string

const (
	TLSStartTLS TLSMode = "starttls" // RFC 3207; refused where the upstream does not offer it
	TLSImplicit TLSMode = "implicit" // RFC 8314 section 3.3
	TLSNone     TLSMode = "none"     // for an upstream on this machine
)

// An Server says where messages go and how to get there.
type Server struct {
	Address          string // host:port
	TLS              TLSMode
	TLSCompatibility bool           // take TLS 1.1 and RSA key exchange, too
	ServerName       string         // to verify; the host of Address where it is empty
	RootCAs          *x509.CertPool // nil: the system's
	Relay            bool           // offer the upstream's AUTH mechanisms to the client
	Login            *Login         // log in there; nil: do not. Not with Relay
	MaxIdle          int            // connections kept open for the next session; not with Relay
}

// Host is what our replies call the upstream.
func (u *Server) Host() string {
	host, _, err := net.SplitHostPort(u.Address)
	if err != nil {
		return u.Address
	}
	return host
}

func (u *Server) tlsConfig() *tls.Config {
	name := u.ServerName
	if name == "" {
		name = u.Host()
	}
	config := &tls.Config{ServerName: name, RootCAs: u.RootCAs, MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(32)}
	if u.TLSCompatibility {
		takeOldTLS(config)
	}
	return config
}

// Timeouts bound the waits for an upstream.
type Timeouts struct {
	Connect time.Duration // to connect, and for the TLS handshake
	Reply   time.Duration // to one command
	Stall   time.Duration // until it takes what it is sent
}

// A Dialer opens connections to one upstream.
type Dialer struct {
	Server
	tls     *tls.Config
	old     *oldTLS // nil: it is taken, or not asked for
	wait    Timeouts
	account *account            // nil: no login of our own
	own     func(net.Addr) bool // one of our own listeners
	replied func(command string, code int)
}

// NewDialer makes a dialer. own reports whether an address is one of our own
// listeners; replied hears the code of each reply, and what it is to.
func NewDialer(u Server, wait Timeouts, own func(net.Addr) bool, replied func(command string, code int)) *Dialer {
	d := &Dialer{Server: u, tls: u.tlsConfig(), wait: wait, account: newAccount(u.Login), own: own, replied: replied}
	if !u.TLSCompatibility {
		d.old = &oldTLS{}
	}
	return d
}

// A Greeting is how a client greeted, and how the upstream is greeted for it.
type Greeting struct {
	Name string
	HELO bool // with HELO: the upstream may refuse EHLO and take that
}

// open connects, secures the connection and greets as the client did.
func (d *Dialer) open(ctx context.Context, as Greeting, opened func(net.Conn)) (*Conn, error) {
	nd := net.Dialer{Timeout: d.wait.Connect}
	conn, err := nd.DialContext(ctx, "tcp", d.Address)
	if err != nil {
		return nil, connectError(err)
	}
	opened(conn)
	u := &Conn{conn: conn, socket: conn, helo: as.Name, born: time.Now(), r: bufio.NewReaderSize(conn, maxReplyLine), wait: d.wait, replied: d.replied}
	if d.own(conn.RemoteAddr()) {
		conn.Close()
		return nil, &DialError{Kind: KindLoop, text: "it is sendguard itself"}
	}
	if err := d.greet(u, as); err != nil {
		conn.Close()
		return nil, d.explain(ctx, as, opened, err)
	}
	return u, nil
}

func (d *Dialer) greet(u *Conn, as Greeting) error {
	if d.TLS == TLSImplicit {
		if err := u.secure(d.tls); err != nil {
			return err
		}
	}
	banner, err := u.readReply(min(greetTime, u.wait.Reply))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && d.TLS != TLSImplicit:
		return &DialError{Kind: KindTimeout, text: "it sends no greeting (a port for tls: implicit?)"}
	case err != nil:
		return replyError(err)
	}
	u.replied("connect", banner.Code)
	if banner.Code != 220 {
		return Refused(banner)
	}
	if err := u.Greet(as); err != nil {
		return err
	}
	if d.TLS != TLSStartTLS {
		return nil
	}
	if _, ok := u.caps["STARTTLS"]; !ok {
		return &DialError{Kind: KindTLS, text: "it does not offer STARTTLS"}
	}
	r, err := u.Command("starttls", []byte("STARTTLS\r\n"))
	switch {
	case err != nil:
		return replyError(err)
	case r.Code != 220:
		return &DialError{Kind: KindTLS, text: "it refused STARTTLS"}
	case u.r.Buffered() > 0: // said in the clear, to be taken for encrypted
		return &DialError{Kind: KindTLS, text: "data was injected before TLS"}
	}
	if err := u.secure(d.tls); err != nil {
		return err
	}
	return u.Greet(as) // what was said before TLS does not count, RFC 3207 section 4.2
}

// greetTime bounds the wait for a greeting: mail clients give up before the five
// minutes of RFC 5321 section 4.5.3.2.1, and would not hear why.
const greetTime = time.Minute

// secure begins TLS.
func (u *Conn) secure(config *tls.Config) error {
	conn := tls.Client(u.conn, config)
	conn.SetDeadline(time.Now().Add(u.wait.Connect))
	if err := conn.Handshake(); err != nil {
		return tlsError(err)
	}
	conn.SetDeadline(time.Time{})
	u.conn, u.r = conn, bufio.NewReaderSize(conn, maxReplyLine)
	return nil
}

// Greet says EHLO and learns what the upstream can do. A server that does not
// know EHLO is greeted with HELO (RFC 5321 section 3.2), and so is one that
// refuses it where the client said HELO. A greeting that is refused changes
// nothing (RFC 5321 section 4.1.4).
func (u *Conn) Greet(as Greeting) error {
	r, err := u.Command("ehlo", fmt.Appendf(nil, "EHLO %s\r\n", as.Name))
	if err == nil && (r.Code == 500 || r.Code == 502 || r.Code > 500 && as.HELO) {
		r, err = u.Command("ehlo", fmt.Appendf(nil, "HELO %s\r\n", as.Name))
	}
	switch {
	case err != nil:
		return replyError(err)
	case r.Code >= 400:
		return &Refusal{Reply: r, ToGreeting: true}
	case !r.OK():
		return replyError(ErrProtocol)
	}
	u.caps = capabilities(r)
	return nil
}

// Mechanisms lists the SASL mechanisms that can be relayed: not those that are
// bound to the connection, to a host's name or to a certificate.
func (u *Conn) Mechanisms() (names []string) {
	for name := range strings.FieldsSeq(strings.ToUpper(u.caps["AUTH"])) {
		switch {
		case slices.Contains(names, name): // AUTH and AUTH= say the same
		case strings.HasSuffix(name, "-PLUS"), name == "EXTERNAL", name == "GSSAPI", name == "NTLM", name == "DIGEST-MD5":
		default:
			names = append(names, name)
		}
	}
	return names
}

// HasMechanism reports whether the upstream offers a SASL mechanism.
func (u *Conn) HasMechanism(name string) bool {
	return slices.Contains(strings.Fields(strings.ToUpper(u.caps["AUTH"])), name)
}
