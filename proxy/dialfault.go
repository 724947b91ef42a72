package proxy

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"syscall"
)

// A kind is what went wrong on the way upstream, as the metrics name it.
type kind string

const (
	kindConnect     kind = "connect"
	kindTLS         kind = "tls"
	kindProtocol    kind = "protocol"
	kindLoop        kind = "loop"
	kindLogin       kind = "login"       // sendguard's own
	kindToken       kind = "oauth_token" // there is none
	kindTimeout     kind = "upstream_timeout"
	kindClosed      kind = "upstream_closed"
	kindDescriptors kind = "descriptors" // none is left
)

// A dialError says why there is no connection: kind for the metrics, text for
// the client and the log.
type dialError struct {
	kind   kind
	text   string
	detail string // for the log and the administrator alone
	said   string // by the upstream that refused a login: for the client alone, it may name a mailbox
}

// Error is what the administrator is told.
func (e *dialError) Error() string {
	if e.detail == "" {
		return e.text
	}
	return e.text + ": " + e.detail
}

// Is has every login that was refused be errLoginRefused, whatever was said.
func (e *dialError) Is(target error) bool { return target == errLoginRefused && e.said != "" }

// words are the reason, as the client is told it.
func (e *dialError) words() string {
	if e.said != "" {
		return errLoginRefused.text + ": " + e.said
	}
	return e.text
}

// A refusal is an error that is the upstream's own reply.
type refusal struct {
	serverReply
	toGreeting bool // to EHLO or HELO: it may take another one
}

func (r *refusal) Error() string { return "refused by the upstream" }

// refused makes an error of a reply that should have been another one.
func refused(r serverReply) error {
	if r.code < 400 {
		return replyError(errProtocol)
	}
	return &refusal{serverReply: r}
}

// replyError turns what went wrong in reading a reply into a *dialError.
func replyError(err error) error {
	if r := (*refusal)(nil); errors.As(err, &r) {
		return r
	}
	f, text := troubleOf(err)
	return &dialError{kind: f, text: text}
}

// troubleOf says what went wrong with an upstream that there was a connection to.
func troubleOf(err error) (kind, string) {
	switch {
	case errors.Is(err, errProtocol):
		return kindProtocol, "it does not speak SMTP"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return kindTimeout, "no answer"
	}
	return kindClosed, "connection lost"
}

func connectError(err error) error {
	var dns *net.DNSError
	var timeout net.Error // of the dialer or of the context: they differ
	switch {
	case outOfDescriptors(err), errors.As(err, &dns) && !hasDescriptors():
		return errNoDescriptors
	case errors.As(err, &dns):
		return &dialError{kind: kindConnect, text: "its name cannot be resolved"}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &dialError{kind: kindConnect, text: "connection refused"}
	case errors.Is(err, syscall.ECONNRESET): // accepted, and reset before we knew
		return &dialError{kind: kindConnect, text: "connection lost"}
	case errors.As(err, &timeout) && timeout.Timeout():
		return &dialError{kind: kindConnect, text: "no answer"}
	}
	return &dialError{kind: kindConnect, text: "no connection"}
}

// errNoAgreement is a handshake that failed for no other reason that is known.
var errNoAgreement = &dialError{kind: kindTLS, text: "the TLS handshake failed"}

// tlsError says why a handshake failed.
func tlsError(err error) error {
	certificate := certificateError(err)
	switch {
	case certificate != nil:
		return certificate
	case errors.As(err, new(tls.RecordHeaderError)):
		return &dialError{kind: kindTLS, text: "it does not begin with TLS (a port for tls: starttls?)"}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &dialError{kind: kindTLS, text: "no answer to the TLS handshake"}
	}
	return errNoAgreement
}

// errNoDescriptors says that this process, or the whole system, has none left.
var errNoDescriptors = &dialError{kind: kindDescriptors, text: "no file descriptor is left"}

func outOfDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// hasDescriptors reports whether there is one. It is for errors that do not tell:
// the resolver does not say that it could not open its files.
func hasDescriptors() bool {
	f, err := os.Open(os.DevNull)
	if err == nil {
		f.Close()
	}
	return !outOfDescriptors(err)
}
