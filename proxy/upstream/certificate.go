package upstream

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// certificateError is the error of a handshake that ended at the upstream's
// certificate; nil: it did not. The client is told the kind of fault alone; the
// detail, for the log and for who tries the way upstream, has what the certificate
// says, and which key of the configuration may mend that.
func certificateError(err error) *DialError {
	var (
		name    x509.HostnameError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
	)
	text, detail := "its certificate is not trusted", ""
	switch {
	case errors.As(err, &name):
		text = "its certificate is for another name"
		detail = certificateWords(name.Certificate) + "; if one of these names is the server's, set upstream.server_name to it"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		text = "its certificate has expired or is not yet valid"
		detail = certificateWords(invalid.Cert) + "; this machine's clock says " + time.Now().UTC().Format(time.DateOnly)
	case errors.As(err, &unknown):
		detail = certificateWords(unknown.Cert) + "; if you trust its issuer, set upstream.ca_file to the issuer's certificate"
	case errors.As(err, &invalid):
		detail = certificateWords(invalid.Cert) + "; its chain is not a good one"
	default:
		return nil
	}
	return &DialError{Kind: KindTLS, text: text, detail: detail}
}

// maxNames is how many names of a certificate are shown.
const maxNames = 8

// certificateWords are the names in a certificate, who issued it, and its dates.
func certificateWords(c *x509.Certificate) string {
	if c == nil {
		return "it says nothing of itself"
	}
	names := append([]string{}, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		names = []string{"no name"}
	}
	if more := len(names) - maxNames; more > 0 {
		names = append(names[:maxNames], fmt.Sprintf("%d more", more))
	}
	return fmt.Sprintf("it is for %s; issued by %s; valid from %s to %s", harmless(strings.Join(names, ", ")), harmless(issuerOf(c)),
		c.NotBefore.UTC().Format(time.DateOnly), c.NotAfter.UTC().Format(time.DateOnly))
}

// issuerOf leaves out what an issuer's name may hold besides, a mail address say.
func issuerOf(c *x509.Certificate) string {
	name := strings.Join(append(append([]string{}, c.Issuer.Organization...), c.Issuer.CommonName), ", ")
	switch {
	case c.Issuer.String() == c.Subject.String():
		return "itself"
	case strings.Trim(name, ", ") == "":
		return "somebody without a name"
	}
	return strings.Trim(name, ", ")
}

// maxCertificateText bounds what a stranger's certificate adds to a line.
const maxCertificateText = 300

// harmless is a text of a certificate as it may stand in a log: anybody can have
// written it.
func harmless(text string) string {
	text = strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' || c == '@' {
			return '?'
		}
		return c
	}, text)
	return text[:min(len(text), maxCertificateText)]
}
