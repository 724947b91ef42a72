package policy

import (
	"fmt"
	"slices"
	"strings"
)

// A Rule sets values for the messages that it matches. What it leaves nil, or
// empty, is taken from the policy.
type Rule struct {
	Name       string
	Match      Match
	Limits     [CountedKinds]*Limit
	Action     Action
	Override   *bool
	RejectHint *string
}

// values are what a rule, or the policy itself, decides with.
type values struct {
	rule     string
	limits   Limits
	action   Action
	override bool
	hint     string
}

type compiledRule struct {
	match  matcher
	values values
}

// values are those of the policy itself.
func (s *Settings) values() values {
	v := values{rule: RulePolicy, limits: s.Limits, action: s.Action, override: s.Override, hint: s.RejectHint}
	if !s.InspectBody {
		v.limits[InBody] = Unlimited
	}
	return v
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
	for c, limit := range r.Limits {
		setIfGiven(&v.limits[c], limit)
	}
	setIfGiven(&v.override, r.Override)
	setIfGiven(&v.hint, r.RejectHint)
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

// setIfGiven has what a rule gives take the place of the policy's value.
func setIfGiven[T any](value, given *T) {
	if given != nil {
		*value = *given
	}
}

// check reports values that make no sense.
func (v *values) check() error {
	if !slices.Contains(Actions, v.action) {
		return fmt.Errorf("action: %q is none of %s", v.action, listed(Actions))
	}
	if err := v.limits.check(); err != nil {
		return err
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
func (p *Policy) valuesFor(d *decision) *values {
	for i := range p.rules {
		if p.rules[i].match.holds(d) {
			return &p.rules[i].values
		}
	}
	return &p.base
}
