package mail

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// NormalDomain appends the domain to dst as domains are compared: A-labels
// (RFC 5890) in lower case, without the root's dot. What IDNA cannot map stays
// as it was written, in lower case.
func NormalDomain(dst, domain []byte) []byte {
	n := len(dst)
	dst, plain := appendPlainLower(dst, domain)
	if !plain {
		return appendOddDomain(dst, domain)
	}
	return trimDots(dst, n)
}

// appendOddDomain is NormalDomain for what is more than a plain name.
func appendOddDomain(dst, domain []byte) []byte {
	domain = withoutCFWS(domain)
	if !IsASCII(domain) {
		return append(dst, alabels(domain)...)
	}
	n := len(dst)
	return trimDots(appendLower(dst, domain), n)
}

// trimDots takes the dots off the end of what was appended to dst after n.
func trimDots(dst []byte, n int) []byte {
	for len(dst) > n+1 && dst[len(dst)-1] == '.' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// maxDomain is how many bytes of UTF-8 are mapped to A-labels. A domain name has
// at most 255 octets (RFC 1035 section 2.3.4); the cost of punycode is quadratic.
const maxDomain = 1024

// alabels maps an internationalised domain as mail clients do (UTS 46), up to
// the first comma or bracket of another script and without the marks round it.
func alabels(domain []byte) []byte {
	if bare := bytes.TrimLeftFunc(domain, isOpening); len(bare) > 0 {
		domain = bare
	}
	if i := bytes.IndexFunc(domain, func(r rune) bool { return isForeignComma(r) || partsWords(r) }); i > 0 {
		domain = domain[:i]
	}
	domain = bytes.TrimRight(bytes.TrimRightFunc(domain, IsForeignPunct), ".")
	if !utf8.Valid(domain) || len(domain) > maxDomain {
		return appendLower(nil, domain)
	}
	if a, err := idna.Lookup.ToASCII(string(domain)); err == nil {
		return appendLower(nil, []byte(a))
	}
	return bytes.ToLower(domain)
}

// withoutCFWS takes white space and comments out of an obsolete domain.
func withoutCFWS(domain []byte) []byte {
	out := make([]byte, 0, len(domain))
	depth := 0
	for i := 0; i < len(domain); i++ {
		switch c := domain[i]; {
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case c == '\\' && depth > 0:
			i++
		case depth == 0 && Class[c] != ClassSpace:
			out = append(out, c)
		}
	}
	return out
}

// maxDomainName is the length of the longest domain name (RFC 1035 section
// 2.3.4). To look up each suffix of a longer one would be quadratic.
const maxDomainName = 255

// A DomainSet is a list of domains as a configuration gives it: example.com is
// that domain alone, .example.com every subdomain of it.
type DomainSet map[string]struct{}

// NewDomainSet reads patterns; an error names the one that is not a domain.
func NewDomainSet(patterns []string) (DomainSet, error) {
	set := make(DomainSet, len(patterns))
	for _, p := range patterns {
		name := strings.TrimPrefix(p, ".")
		a, err := idna.Lookup.ToASCII(name)
		if err != nil || a == "" || strings.ContainsAny(a, "@*") {
			return nil, fmt.Errorf("%q is not a domain (write example.com, or .example.com for its subdomains)", p)
		}
		set[p[:len(p)-len(name)]+strings.ToLower(a)] = struct{}{}
	}
	return set, nil
}

// Has reports whether a normal domain is in the set, without allocating.
func (s DomainSet) Has(domain []byte) bool {
	if len(s) == 0 {
		return false
	}
	if _, ok := s[string(domain)]; ok {
		return true
	}
	if len(domain) > maxDomainName {
		return false
	}
	for i, c := range domain {
		if c == '.' && i > 0 {
			if _, ok := s[string(domain[i:])]; ok {
				return true
			}
		}
	}
	return false
}
