package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A Rule sets values for the messages that it matches. What it leaves nil, or
// empty, is taken from the policy.
type Rule struct {
	Name          string
	Match         Match
	External      *Limit
	Organisations *Limit
	Total         *Limit
	Body          *Limit
	Action        Action
	Override      *bool
	RejectHint    *string
}

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

// values are what a rule, or the policy itself, decides with.
type values struct {
	rule          string
	external      Limit
	organisations Limit
	total         Limit
	body          Limit
	action        Action
	override      bool
	hint          string
}

// A matcher is a Match ready for use.
type matcher struct {
	Match
	from, to, user patterns
}

type compiledRule struct {
	match  matcher
	values values
}

// values are those of the policy itself.
func (s *Settings) values() values {
	body := s.Body
	if !s.InspectBody {
		body = Unlimited
	}
	return values{RulePolicy, s.External, s.Organisations, s.Total, body, s.Action, s.Override, s.RejectHint}
}

// compile makes a rule ready; base are the values of the policy.
func (r *Rule) compile(base values) (compiledRule, error) {
	c := compiledRule{match: matcher{Match: r.Match}, values: base}
	var err error
	if c.match.from, err = newPatterns(r.Match.From); err != nil {
		return c, fmt.Errorf("match.from: %w", err)
	}
	if c.match.to, err = newPatterns(r.Match.To); err != nil {
		return c, fmt.Errorf("match.to: %w", err)
	}
	if c.match.user, err = newNamePatterns(r.Match.User); err != nil {
		return c, fmt.Errorf("match.user: %w", err)
	}
	v := &c.values
	v.rule = r.Name
	inherit(&v.external, r.External)
	inherit(&v.organisations, r.Organisations)
	inherit(&v.total, r.Total)
	inherit(&v.body, r.Body)
	inherit(&v.override, r.Override)
	inherit(&v.hint, r.RejectHint)
	if r.Action != "" {
		v.action = r.Action
	}
	return c, v.check()
}

// listed names the values that there are.
func listed[T ~string](values []T) string {
	var names []string
	for _, v := range values {
		names = append(names, string(v))
	}
	return strings.Join(names, ", ")
}

// inherit lets a value be overruled where there is one to do so.
func inherit[T any](value, overruled *T) {
	if overruled != nil {
		*value = *overruled
	}
}

// check reports values that make no sense.
func (v *values) check() error {
	if !slices.Contains(Actions, v.action) {
		return fmt.Errorf("action: %q is none of %s", v.action, listed(Actions))
	}
	for _, limit := range []Limit{v.external, v.organisations, v.total, v.body} {
		if limit < Unlimited {
			return fmt.Errorf("limits: %d is less than zero", limit)
		}
	}
	if v.body > MaxInBody {
		return fmt.Errorf("limits.body: %d is more than %d", v.body, MaxInBody)
	}
	if len(v.hint) > maxHint {
		return fmt.Errorf("reject_hint: longer than %d characters", maxHint)
	}
	for _, c := range v.hint {
		if c < ' ' || c > '~' {
			return fmt.Errorf("reject_hint: only printable US-ASCII characters can be part of an SMTP reply")
		}
	}
	return nil
}

// valuesFor returns the values of the first rule that matches, or the policy's.
func (p *Policy) valuesFor(h *header, m *Message) *values {
	for i := range p.rules {
		if p.rules[i].match.holds(h, m) {
			return &p.rules[i].values
		}
	}
	return &p.base
}

// holds reports whether the rule is for a message.
func (t *matcher) holds(h *header, m *Message) bool {
	return (len(t.Route) == 0 || slices.Contains(t.Route, m.Route)) &&
		(len(t.user) == 0 || m.User != "" && t.user.match([]byte(strings.ToLower(m.User)))) &&
		isWanted(t.Reply, func() bool { return h.has(kindInReplyTo) || h.has(kindReferences) }) &&
		isWanted(t.Resent, func() bool { return h.hasResent() }) &&
		isWanted(t.Calendar, func() bool { return h.isCalendar(m.Body) }) &&
		(len(t.from) == 0 || t.fromHolds(h, m)) &&
		(len(t.to) == 0 || t.toHolds(m))
}

func isWanted(want *bool, is func() bool) bool { return want == nil || *want == is() }

func (t *matcher) fromHolds(h *header, m *Message) bool {
	from := distinctAddresses(h.bodies(kindFrom)...)
	from.addPath(m.Sender)
	for address := range from.all() {
		if t.from.match(address) {
			return true
		}
	}
	return false
}

func (t *matcher) toHolds(m *Message) bool {
	for _, recipient := range m.Recipients {
		one := newAddressSet()
		one.addPath(recipient)
		if one.len() == 0 || !t.to.match(one.key(0)) {
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
					labels[i] = string(normalDomain(nil, []byte(label)))
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
