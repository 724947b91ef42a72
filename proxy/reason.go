package proxy

import (
	"errors"
	"net"
	"regexp"
	"strings"
	"syscall"
)

var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// WithoutQuoted hides what stands in quotation marks: the values of a file.
func WithoutQuoted(text string) string { return quoted.ReplaceAllLiteralString(text, `"…"`) }

// Reason says what an error is about, for a log: without the path, the name or the
// address in it. values are those that it may repeat.
func Reason(err error, values ...string) string {
	var errno syscall.Errno
	var op *net.OpError
	switch {
	case errors.As(err, &errno):
		return errno.Error()
	case errors.As(err, new(*net.DNSError)):
		return "the name cannot be resolved"
	case errors.As(err, &op):
		return Reason(op.Err, values...)
	}
	text := err.Error()
	for _, v := range values {
		if v != "" {
			text = strings.ReplaceAll(text, v, "…")
		}
	}
	return WithoutQuoted(text)
}

// A RouteError says what of a route's configuration cannot be put in force.
type RouteError struct {
	route, what string
	err         error
	values      []string // that err may repeat
	hint        string
}

func (e *RouteError) Error() string {
	return "route " + e.route + ": " + e.what + ": " + e.err.Error() + e.hint
}

func (e *RouteError) Unwrap() error { return e.err }

// WithoutValues is what it says in a log.
func (e *RouteError) WithoutValues() string {
	return "route " + e.route + ": " + e.what + ": " + Reason(e.err, e.values...) + e.hint
}

func (r *Route) tlsError(err error) error {
	return &RouteError{route: r.Name, what: "tls", err: err, values: []string{r.TLS.CertFile, r.TLS.KeyFile}}
}

// listenError is of its address, or of the file of its socket.
func (r *Route) listenError(err error) *RouteError {
	_, place, _ := strings.Cut(r.Listen, ":")
	return &RouteError{route: r.Name, what: "cannot listen", err: err, values: []string{r.Listen, place}}
}
