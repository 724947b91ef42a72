package setup

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// lookupTime bounds the questions to the DNS.
const lookupTime = 5 * time.Second

// A Service is where a domain says that its mail is submitted.
type Service struct {
	Address string // host:port
	TLS     string // implicit or starttls, as in upstream.tls
}

// Lookup asks the DNS for the submission server of a domain: RFC 6186 section 3.1,
// and before it the service with TLS from the start, which RFC 8314 section 5.1
// prefers. Anybody may have given the answer: it is to be shown to a person before
// it is used (RFC 6186 section 6). Without an answer the error says why.
func Lookup(ctx context.Context, resolver *net.Resolver, domain string) (Service, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	var failed error
	for _, service := range []struct{ name, tls string }{{"submissions", "implicit"}, {"submission", "starttls"}} {
		_, records, err := resolver.LookupSRV(ctx, service.name, "tcp", domain)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		for _, r := range records { // sorted by priority
			if host := strings.TrimSuffix(r.Target, "."); host != "" { // "." says that there is none
				return Service{net.JoinHostPort(host, strconv.Itoa(int(r.Port))), service.tls}, nil
			}
		}
	}
	return Service{}, noService(failed)
}

// noService is why there is no answer, for a person.
func noService(err error) error {
	var dns *net.DNSError
	switch {
	case err == nil, errors.As(err, &dns) && dns.IsNotFound:
		return errors.New("it has no record for submission (RFC 6186)")
	case errors.As(err, &dns) && dns.IsTimeout, errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer within %v", lookupTime)
	}
	return errors.New("it cannot be asked from here")
}
