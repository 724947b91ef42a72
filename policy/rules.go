package policy

import (
	"fmt"
	"slices"
	"strings"

	"sendguard/policy/body"
	"sendguard/policy/mail"
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
	if v.body > body.MaxCount {
		return fmt.Errorf("limits.body: %d is more than %d", v.body, body.MaxCount)
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
func (p *Policy) valuesFor(h *mail.Header, m *Message) *values {
	for i := range p.rules {
		if p.rules[i].match.holds(h, m) {
			return &p.rules[i].values
		}
	}
	return &p.base
}
