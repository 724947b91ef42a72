package oauth2

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"syscall"

	"golang.org/x/oauth2"
)

// A Kind is what a fault means for who waits.
type Kind int

const (
	Failed  Kind = iota // it may be well the next time
	Refused             // the provider said no to who asks: somebody has to change something
	Login               // a person has to log in
)

// A Fault is why there is no token. Its text names no address and no secret: it
// ends in logs. The cause may, and is for who asks what it is.
type Fault struct {
	Kind  Kind
	text  string
	cause error
}

func (f *Fault) Error() string { return f.text }
func (f *Fault) Unwrap() error { return f.cause }

// fault puts into words why a provider gave nothing. Of what it said, only codes of
// a known form are repeated: its descriptions name mailboxes.
func (c *Client) fault(err error) error {
	var refusal *oauth2.RetrieveError
	var dns *net.DNSError
	var timeout net.Error
	switch f := (*Fault)(nil); {
	case err == nil:
		return nil
	case errors.As(err, &f):
		return f
	case errors.As(err, &refusal):
		return refused(refusal)
	case errors.As(err, &dns):
		return &Fault{Failed, "the name of the provider cannot be resolved", err}
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return &Fault{Kind: Failed, text: "the provider does not answer"}
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return &Fault{Kind: Failed, text: "the certificate of the provider is not trusted (a company's own proxy? its roots belong into ca_file)"}
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return &Fault{Kind: Failed, text: "the connection to the provider was lost"}
	case errors.As(err, new(*net.OpError)):
		return &Fault{Failed, "the provider cannot be reached", err}
	}
	return &Fault{Kind: Failed, text: "the provider's answer makes no sense"}
}

// errorCode is what RFC 6749 section 5.2 and its kin have for codes.
var (
	errorCode = regexp.MustCompile(`^[a-z_]{1,40}$`)
	aadsts    = regexp.MustCompile(`AADSTS(\d{4,8})\b`)
)

func refused(r *oauth2.RetrieveError) error {
	code, description := r.ErrorCode, r.ErrorDescription
	if code == "" { // the library does not look into all answers
		var said struct {
			Code        string `json:"error"`
			Description string `json:"error_description"`
		}
		if json.Unmarshal(r.Body, &said) == nil {
			code, description = said.Code, said.Description
		}
	}
	if !errorCode.MatchString(code) {
		return &Fault{Kind: Failed, text: fmt.Sprintf("the provider answers %s", statusText(r.Response.StatusCode))}
	}
	return explain(code, description)
}

func statusText(status int) string {
	return fmt.Sprintf("%d %s", status, http.StatusText(status))
}

// explain says what a code means, and what to do about it.
func explain(code, description string) *Fault {
	f := &Fault{Kind: Refused, text: "the provider says " + code}
	if m, ok := meanings[code]; ok {
		f.Kind, f.text = m.kind, f.text+": "+m.text
	}
	number := aadsts.FindStringSubmatch(description)
	if number == nil {
		return f
	}
	text := "AADSTS" + number[1]
	if words, ok := microsoft[number[1]]; ok {
		text += ": " + words
	}
	f.text = "the provider says " + code + ", " + text
	return f
}

type meaning struct {
	kind Kind
	text string
}

// meanings are those of RFC 6749 sections 4.1.2.1 and 5.2, RFC 8628 section 3.5,
// OpenID Connect Core section 3.1.2.6, and Google's.
var meanings = map[string]meaning{
	"invalid_grant":           {Login, "the login is over; log in again"},
	"interaction_required":    {Login, "it wants to ask somebody; log in again"},
	"login_required":          {Login, "log in again"},
	"consent_required":        {Login, "somebody has to agree; log in again"},
	"invalid_client":          {Refused, "client_id, or the secret or certificate of the client, is wrong or has expired"},
	"unauthorized_client":     {Refused, "the client is not registered for this flow, or may not speak for the mailbox"},
	"invalid_scope":           {Refused, "a scope is not known, or not one of the client's"},
	"invalid_request":         {Refused, "it lacks something; is the client registered for this flow?"},
	"unsupported_grant_type":  {Refused, "it does not have this flow"},
	"access_denied":           {Refused, "somebody said no, or an administrator has to agree first"},
	"expired_token":           {Refused, "nobody signed in in time"},
	"redirect_uri_mismatch":   {Refused, "the redirect address is not registered for the client"},
	"org_internal":            {Refused, "the client is for mailboxes of its own organisation"},
	"admin_policy_enforced":   {Refused, "the organisation's administrator does not allow the client"},
	"deleted_client":          {Refused, "the client was deleted"},
	"server_error":            {Failed, "it has a fault of its own"},
	"temporarily_unavailable": {Failed, "it has too much to do"},
	"slow_down":               {Failed, "it was asked too often"},
}
