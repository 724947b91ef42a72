package setup

import "strings"

// remedies are what to do about what config --connect says; the first whose words
// are in it is meant.
var remedies = []struct{ said, text string }{
	{"its name cannot be resolved", "Is the name right? Is this machine online?"},
	{"connection refused", "Nothing listens there. Submission is port 587 (STARTTLS) or 465 (TLS from the start)."},
	{"no answer to the TLS handshake", "It says nothing that is TLS. Port 587 is for STARTTLS, 465 for TLS from the start."},
	{"no answer", "A firewall may be in the way. Submission is port 587 or 465; many networks let nothing through to port 25."},
	{"does not begin with TLS", "This port begins in the clear: use --tls starttls, or port 465."},
	{"does not offer STARTTLS", "Is it the port for submission, 587? Port 465 has TLS from the start. Mail in the clear is for a server on this machine alone (--tls none)."},
	{"its certificate is for another name", "Use the name that the certificate has: another machine may be answering in its place."},
	{"its certificate is not trusted", "Here --ca-file names it. Where you do not know why it is not trusted, somebody may be in between."},
	{"its certificate has expired", "Is this machine's clock right? Otherwise its administrator has to renew it."},
}

// Remedy is what a person can do about a connection that failed; "": not known here.
func Remedy(said string) string {
	for _, r := range remedies {
		if strings.Contains(said, r.said) {
			return r.text
		}
	}
	return ""
}
