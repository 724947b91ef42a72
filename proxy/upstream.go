package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// TLSMode is how the connection to an upstream is secured.
type TLSMode string

const (
	TLSStartTLS TLSMode = "starttls" // RFC 3207; refused where the upstream does not offer it
	TLSImplicit TLSMode = "implicit" // RFC 8314 section 3.3
	TLSNone     TLSMode = "none"     // for an upstream on this machine
)

// An upstream is a connection to the submission server. It knows the shape of
// replies, and of commands only what it has to: everything else is passed on.
type upstream struct {
	conn    net.Conn
	r       *bufio.Reader
	limits  *Limits
	caps    map[string]string // by keyword in upper case: its parameters
	replied func(command string, code int)
}

// A reply is what the upstream said to one command: all its lines.
type reply struct {
	code int
	raw  []byte // with CRLF after each line
}

// text returns what a reply says, without the code, its lines parted by LF.
func (r reply) text() string {
	var lines []string
	for line := range strings.SplitSeq(strings.TrimSuffix(string(r.raw), "\r\n"), "\r\n") {
		lines = append(lines, line[min(4, len(line)):])
	}
	return strings.Join(lines, "\n")
}

func (r reply) ok() bool { return r.code >= 200 && r.code < 300 }

// Limits for what an upstream may say: RFC 5321 section 4.5.3.1.5 has 512
// bytes for a line.
const (
	maxReplyLine = 4096
	maxReply     = 64 << 10
)

var errProtocol = errors.New("not an SMTP reply")

// readReply reads one reply. One deadline holds for all its lines.
func (u *upstream) readReply(timeout time.Duration) (reply, error) {
	u.conn.SetReadDeadline(time.Now().Add(timeout))
	var r reply
	for {
		line, err := u.r.ReadSlice('\n')
		if err != nil {
			if errors.Is(err, bufio.ErrBufferFull) {
				err = errProtocol
			}
			return reply{}, err
		}
		line = bytes.TrimRight(line, "\r\n")
		code, more, ok := replyLine(line)
		if !ok || r.code != 0 && code != r.code || len(r.raw)+len(line) > maxReply {
			return reply{}, errProtocol
		}
		r.code = code
		r.raw = append(append(r.raw, visible(line)...), crlf...)
		if !more {
			return r, nil
		}
	}
}

// replyLine takes the code of a reply line (RFC 5321 section 4.2) and says
// whether more lines follow.
func replyLine(line []byte) (code int, more, ok bool) {
	if len(line) < 3 || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
		return 0, false, false
	}
	for _, c := range line[:3] {
		if c < '0' || c > '9' {
			return 0, false, false
		}
		code = code*10 + int(c-'0')
	}
	return code, len(line) > 3 && line[3] == '-', code >= 200 && code < 600
}

// visible keeps control characters out of what a client shows.
func visible(line []byte) []byte {
	for i, c := range line {
		if c < ' ' && c != '\t' || c == 0x7f {
			line[i] = '?'
		}
	}
	return line
}

// command sends a command line, CRLF included, and reads the reply. What the
// upstream said before it was asked is its reply only where it takes leave
// (421); anything else would put all further replies out of step.
func (u *upstream) command(name string, line []byte) (reply, error) {
	early := u.r.Buffered() > 0
	if !early {
		if err := u.write(line); err != nil {
			return reply{}, u.lastWord(name, err)
		}
	}
	r, err := u.readReply(u.limits.UpstreamReply)
	if err == nil && early && r.code != 421 {
		err = errProtocol
	}
	if err != nil {
		return reply{}, err
	}
	u.replied(name, r.code)
	return r, nil
}

// write sends bytes upstream, within the stall limit.
func (u *upstream) write(b []byte) error {
	u.conn.SetWriteDeadline(time.Now().Add(u.limits.Stall))
	_, err := u.conn.Write(b)
	return err
}

// lastWord reads why the upstream no longer takes what it is sent: many say it
// before they close, and it is the reply that the client should see.
func (u *upstream) lastWord(name string, writeErr error) error {
	r, err := u.readReply(lastWordTime)
	if err != nil || r.code < 400 {
		return writeErr
	}
	u.replied(name, r.code)
	return &refusal{r}
}

const lastWordTime = 5 * time.Second

// A refusal is an error that is the upstream's own reply.
type refusal struct{ reply }

func (r *refusal) Error() string { return "refused by the upstream" }

// refused makes an error of a reply that should have been another one.
func refused(r reply) error {
	if r.code < 400 {
		return replyError(errProtocol)
	}
	return &refusal{r}
}

// quit takes leave and closes. The client has had its 221.
func (u *upstream) quit() {
	u.conn.SetDeadline(time.Now().Add(quitTime))
	if _, err := u.conn.Write([]byte("QUIT\r\n")); err == nil {
		io.Copy(io.Discard, io.LimitReader(u.r, maxReplyLine))
	}
	u.conn.Close()
}

const quitTime = 2 * time.Second

// An Upstream says where messages go and how to get there.
type Upstream struct {
	Address    string // host:port
	TLS        TLSMode
	ServerName string         // to verify; the host of Address where it is empty
	RootCAs    *x509.CertPool // nil: the system's
	Relay      bool           // offer the upstream's AUTH mechanisms to the client
}

// host is what our replies call the upstream.
func (u *Upstream) host() string {
	host, _, err := net.SplitHostPort(u.Address)
	if err != nil {
		return u.Address
	}
	return host
}

func (u *Upstream) tlsConfig() *tls.Config {
	name := u.ServerName
	if name == "" {
		name = u.host()
	}
	return &tls.Config{ServerName: name, RootCAs: u.RootCAs, MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(32)}
}

// A dialer opens connections to one upstream.
type dialer struct {
	Upstream
	tls     *tls.Config
	limits  *Limits
	own     func(net.Addr) bool // one of our own listeners
	replied func(command string, code int)
}

// A dialError says why there is no connection: kind for the metrics, text for
// the client.
type dialError struct {
	kind fault
	text string
}

func (e *dialError) Error() string { return e.text }

// dial connects, secures the connection and greets as the client did. The
// error is a *dialError or a *refusal. opened is called with the socket as
// soon as there is one, so that it can be closed from elsewhere.
func (d *dialer) dial(ctx context.Context, helo string, opened func(net.Conn)) (*upstream, error) {
	nd := net.Dialer{Timeout: d.limits.Connect}
	conn, err := nd.DialContext(ctx, "tcp", d.Address)
	if err != nil {
		return nil, connectError(err)
	}
	opened(conn)
	u := &upstream{conn: conn, r: bufio.NewReaderSize(conn, maxReplyLine), limits: d.limits, replied: d.replied}
	if d.own(conn.RemoteAddr()) {
		conn.Close()
		return nil, &dialError{faultLoop, "it is sendguard itself"}
	}
	if err := d.greet(u, helo); err != nil {
		conn.Close()
		return nil, err
	}
	return u, nil
}

func (d *dialer) greet(u *upstream, helo string) error {
	if d.TLS == TLSImplicit {
		if err := u.secure(d.tls); err != nil {
			return err
		}
	}
	banner, err := u.readReply(u.limits.UpstreamReply)
	if err != nil {
		return replyError(err)
	}
	u.replied("connect", banner.code)
	if banner.code != 220 {
		return refused(banner)
	}
	if err := u.ehlo(helo); err != nil {
		return err
	}
	if d.TLS != TLSStartTLS {
		return nil
	}
	if _, ok := u.caps["STARTTLS"]; !ok {
		return &dialError{faultTLS, "it does not offer STARTTLS"}
	}
	r, err := u.command("starttls", []byte("STARTTLS\r\n"))
	switch {
	case err != nil:
		return replyError(err)
	case r.code != 220:
		return &dialError{faultTLS, "it refused STARTTLS"}
	case u.r.Buffered() > 0: // said in the clear, to be taken for encrypted
		return &dialError{faultTLS, "data was injected before TLS"}
	}
	if err := u.secure(d.tls); err != nil {
		return err
	}
	return u.ehlo(helo) // what was said before TLS does not count, RFC 3207 section 4.2
}

// secure begins TLS.
func (u *upstream) secure(config *tls.Config) error {
	conn := tls.Client(u.conn, config)
	conn.SetDeadline(time.Now().Add(u.limits.Connect))
	if err := conn.Handshake(); err != nil {
		return &dialError{faultTLS, tlsFault(err)}
	}
	conn.SetDeadline(time.Time{})
	u.conn, u.r = conn, bufio.NewReaderSize(conn, maxReplyLine)
	return nil
}

// ehlo greets and learns what the upstream can do. A server that does not know
// EHLO is greeted with HELO (RFC 5321 section 3.2).
func (u *upstream) ehlo(name string) error {
	r, err := u.command("ehlo", fmt.Appendf(nil, "EHLO %s\r\n", name))
	if err != nil {
		return replyError(err)
	}
	u.caps = map[string]string{}
	if !r.ok() {
		if r.code == 500 || r.code == 502 {
			if r, err = u.command("ehlo", fmt.Appendf(nil, "HELO %s\r\n", name)); err != nil {
				return replyError(err)
			}
		}
		if !r.ok() {
			return refused(r)
		}
		return nil
	}
	for i, line := range strings.Split(r.text(), "\n") {
		keyword, parameters, _ := strings.Cut(strings.ReplaceAll(line, "AUTH=", "AUTH "), " ")
		if i > 0 {
			keyword = strings.ToUpper(keyword)
			u.caps[keyword] = strings.TrimSpace(u.caps[keyword] + " " + parameters)
		}
	}
	return nil
}

// mechanisms lists the SASL mechanisms that can be relayed: not those that are
// bound to the connection, to a host's name or to a certificate.
func (u *upstream) mechanisms() (names []string) {
	for name := range strings.FieldsSeq(strings.ToUpper(u.caps["AUTH"])) {
		switch {
		case strings.HasSuffix(name, "-PLUS"), name == "EXTERNAL", name == "GSSAPI", name == "NTLM", name == "DIGEST-MD5":
		default:
			names = append(names, name)
		}
	}
	return names
}

func connectError(err error) error {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return &dialError{faultConnect, "its name cannot be resolved"}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &dialError{faultConnect, "connection refused"}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &dialError{faultConnect, "no answer"}
	}
	return &dialError{faultConnect, "no connection"}
}

// replyError turns what went wrong in reading a reply into a *dialError.
func replyError(err error) error {
	if r := (*refusal)(nil); errors.As(err, &r) {
		return r
	}
	f, text := upstreamFault(err)
	return &dialError{f, text}
}

// upstreamFault says what went wrong on the way upstream.
func upstreamFault(err error) (fault, string) {
	switch {
	case errors.Is(err, errProtocol):
		return faultProtocol, "it does not speak SMTP"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return faultUpstreamTimeout, "no answer"
	}
	return faultUpstreamClosed, "connection lost"
}

func tlsFault(err error) string {
	var (
		name    x509.HostnameError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &name):
		return "its certificate is for another name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "its certificate has expired or is not yet valid"
	case errors.As(err, &unknown), errors.As(err, &invalid):
		return "its certificate is not trusted"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer to the TLS handshake"
	}
	return "the TLS handshake failed"
}
