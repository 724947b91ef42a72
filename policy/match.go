package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"sendguard/policy/mail"
)

// A Match says which messages a rule is for: all that is set must hold, and of
// a list one value is enough. Addresses may be patterns with *.
type Match struct {
	From     []string // one address of the header's From, or the envelope sender
	To       []string // every recipient of the envelope
	Route    []string
	Reply    *bool    // it has In-Reply-To or References
	Resent   *bool    // it has a Resent- field
	Calendar *bool    // it has text/calendar
	User     []string // who has logged in at sendguard; names, too, may be patterns
}

// A matcher is a Match ready for use.
type matcher struct {
	Match
	from, to, user patterns
}

// holds reports whether the rule is for a message.
func (t *matcher) holds(d *decision) bool {
	h, m := d.outer, d.envelope
	return (len(t.Route) == 0 || slices.Contains(t.Route, m.Route)) &&
		(len(t.user) == 0 || m.User != "" && t.user.match([]byte(strings.ToLower(m.User)))) &&
		isWanted(t.Reply, func() bool { return h.Has(mail.InReplyTo) || h.Has(mail.References) }) &&
		isWanted(t.Resent, func() bool { return h.HasResent() }) &&
		isWanted(t.Calendar, func() bool { return invites(h, d.start) }) &&
		(len(t.from) == 0 || t.fromHolds(h, m)) &&
		(len(t.to) == 0 || t.toHolds(m))
}

func isWanted(want *bool, is func() bool) bool { return want == nil || *want == is() }

func (t *matcher) fromHolds(h *mail.Header, m *Envelope) bool {
	from := mail.DistinctAddresses(h.Values(mail.From)...)
	from.AddPath(m.Sender)
	for address := range from.All() {
		if t.from.match(address) {
			return true
		}
	}
	return false
}

func (t *matcher) toHolds(m *Envelope) bool {
	for _, recipient := range m.Recipients {
		one := mail.NewAddressSet()
		one.AddPath(recipient)
		if one.Len() == 0 || !t.to.match(one.Key(0)) {
			return false
		}
	}
	return len(m.Recipients) > 0
}

// patterns match addresses as they are compared: normal local part and domain.
type patterns []*regexp.Regexp

// newPatterns reads address patterns: * stands for any characters.
func newPatterns(list []string) (all patterns, err error) {
	for _, p := range list {
		local, domain, ok := strings.Cut(p, "@")
		if p != "*" && (!ok || local == "" || domain == "" || domain[0] == '.') {
			return nil, fmt.Errorf("%q is not an address (write news@example.com, or *@example.com)", p)
		}
		text := strings.ToLower(local)
		if ok {
			labels := strings.Split(domain, ".")
			for i, label := range labels {
				if !strings.Contains(label, "*") {
					labels[i] = string(mail.NormalDomain(nil, []byte(label)))
				}
			}
			text += "@" + strings.ToLower(strings.Join(labels, "."))
		}
		re, err := newPattern(text)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", p, err)
		}
		all = append(all, re)
	}
	return all, nil
}

// newNamePatterns reads patterns of user names, which need not be addresses.
func newNamePatterns(list []string) (all patterns, err error) {
	for _, p := range list {
		re, err := newPattern(strings.ToLower(p))
		if err != nil {
			return nil, fmt.Errorf("%q: %w", p, err)
		}
		all = append(all, re)
	}
	return all, nil
}

func newPattern(text string) (*regexp.Regexp, error) {
	return regexp.Compile(`(?s)^` + strings.ReplaceAll(regexp.QuoteMeta(text), `\*`, `.*`) + `$`)
}

func (p patterns) match(address []byte) bool {
	return slices.ContainsFunc(p, func(re *regexp.Regexp) bool { return re.Match(address) })
}
