package upstream

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"syscall"
)

// A Kind is what went wrong on the way upstream, as the metrics name it.
type Kind string

const (
	KindConnect     Kind = "connect"
	KindTLS         Kind = "tls"
	KindProtocol    Kind = "protocol"
	KindLoop        Kind = "loop"
	KindLogin       Kind = "login"       // sendguard's own
	KindToken       Kind = "oauth_token" // there is none
	KindTimeout     Kind = "upstream_timeout"
	KindClosed      Kind = "upstream_closed"
	KindDescriptors Kind = "descriptors" // none is left
)

// A DialError says why there is no connection: kind for the metrics, text for
// the client and the log.
type DialError struct {
	Kind   Kind
	text   string
	detail string // for the log and the administrator alone
	said   string // by the upstream that refused a login: for the client alone, it may name a mailbox
}

// Error is what the administrator is told.
func (e *DialError) Error() string {
	if e.detail == "" {
		return e.text
	}
	return e.text + ": " + e.detail
}

// Is has every login that was refused be errLoginRefused, whatever was said.
func (e *DialError) Is(target error) bool { return target == ErrLoginRefused && e.said != "" }

// Words are the reason, as the client is told it.
func (e *DialError) Words() string {
	if e.said != "" {
		return ErrLoginRefused.text + ": " + e.said
	}
	return e.text
}

// A Refusal is an error that is the upstream's own reply.
type Refusal struct {
	Reply
	ToGreeting bool // to EHLO or HELO: it may take another one
}

func (r *Refusal) Error() string { return "refused by the upstream" }

// Refused makes an error of a reply that should have been another one.
func Refused(r Reply) error {
	if r.Code < 400 {
		return replyError(ErrProtocol)
	}
	return &Refusal{Reply: r}
}

// replyError turns what went wrong in reading a reply into a *DialError.
func replyError(err error) error {
	if r := (*Refusal)(nil); errors.As(err, &r) {
		return r
	}
	f, text := Trouble(err)
	return &DialError{Kind: f, text: text}
}

// Trouble says what went wrong with an upstream that there was a connection to.
func Trouble(err error) (Kind, string) {
	switch {
	case errors.Is(err, ErrProtocol):
		return KindProtocol, "it does not speak SMTP"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return KindTimeout, "no answer"
	}
	return KindClosed, "connection lost"
}

func connectError(err error) error {
	var dns *net.DNSError
	var timeout net.Error // of the dialer or of the context: they differ
	switch {
	case OutOfDescriptors(err), errors.As(err, &dns) && !hasDescriptors():
		return ErrNoDescriptors
	case errors.As(err, &dns):
		return &DialError{Kind: KindConnect, text: "its name cannot be resolved"}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &DialError{Kind: KindConnect, text: "connection refused"}
	case errors.Is(err, syscall.ECONNRESET): // accepted, and reset before we knew
		return &DialError{Kind: KindConnect, text: "connection lost"}
	case errors.As(err, &timeout) && timeout.Timeout():
		return &DialError{Kind: KindConnect, text: "no answer"}
	}
	return &DialError{Kind: KindConnect, text: "no connection"}
}

// errNoAgreement is a handshake that failed for no other reason that is known.
var errNoAgreement = &DialError{Kind: KindTLS, text: "the TLS handshake failed"}

// tlsError says why a handshake failed.
func tlsError(err error) error {
	certificate := certificateError(err)
	switch {
	case certificate != nil:
		return certificate
	case errors.As(err, new(tls.RecordHeaderError)):
		return &DialError{Kind: KindTLS, text: "it does not begin with TLS (a port for tls: starttls?)"}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &DialError{Kind: KindTLS, text: "no answer to the TLS handshake"}
	}
	return errNoAgreement
}

// ErrNoDescriptors says that this process, or the whole system, has none left.
var ErrNoDescriptors = &DialError{Kind: KindDescriptors, text: "no file descriptor is left"}

func OutOfDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// hasDescriptors reports whether there is one. It is for errors that do not tell:
// the resolver does not say that it could not open its files.
func hasDescriptors() bool {
	f, err := os.Open(os.DevNull)
	if err == nil {
		f.Close()
	}
	return !OutOfDescriptors(err)
}
