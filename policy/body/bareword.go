package body

import (
	"bytes"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"sendguard/policy/mail"
)

// bareWords says of which domains a bare word in running text is an address. Text is
// full of words with an @ in them that are none: icon@2x.png, ceph-osd@12.service.
type bareWords struct {
	known func(domain []byte) bool

	topLevel   []byte // that was looked at last: mostly it is the next one, too
	registered bool
}

// isDomain is asked about a normal domain.
func (w *bareWords) isDomain(domain []byte) bool {
	first := bytes.IndexByte(domain, '.')
	return first > 0 && !isNumber(domain[:first]) && w.isRegistered(domain[bytes.LastIndexByte(domain, '.')+1:]) || w.known(domain)
}

// isRegistered reports a top-level domain of the public suffix list's ICANN part, or
// one for special use. Some are there only as those of other domains (*.ck), so one
// below it is asked for. Beside a label that is no name it is still as it was written.
func (w *bareWords) isRegistered(topLevel []byte) bool {
	if !bytes.Equal(topLevel, w.topLevel) {
		w.topLevel = append(w.topLevel[:0], topLevel...)
		_, icann := publicsuffix.PublicSuffix("0." + string(mail.NormalDomain(nil, topLevel)))
		w.registered = icann || slices.Contains(specialUse, string(topLevel))
	}
	return w.registered
}

// specialUse are top-level domains that no registry has and whose addresses people
// use all the same (RFC 6761, RFC 6762, RFC 7686, RFC 9476; .internal is ICANN's,
// .lan nobody's). That of home.arpa is a registry's.
var specialUse = strings.Fields("alt example internal invalid lan local localhost onion test")

// isNumber reports a label of digits (node@20.x), or of digits and x (icon@2x.png).
func isNumber(label []byte) bool {
	return '0' <= label[0] && label[0] <= '9' && len(bytes.Trim(label, "0123456789x")) == 0
}
