package policy

import (
	"fmt"
	"slices"

	"sendguard/policy/mail"
)

// RulePolicy is the name of the rule where no other matched: the policy itself.
const RulePolicy = "policy"

// A BareNewline says what becomes of a message with a CR or LF that stands
// alone (RFC 5321 section 2.3.8).
type BareNewline string

const (
	RejectBare    BareNewline = "reject"
	NormalizeBare BareNewline = "normalize" // into CRLF, by the caller, before it is judged
)

// BareNewlines are the values that a configuration may give.
var BareNewlines = []BareNewline{RejectBare, NormalizeBare}

// Settings are the values of a policy, as a configuration gives them.
type Settings struct {
	InternalDomains []string // example.com; .example.com for its subdomains
	PersonalDomains []string // further providers of personal mailboxes
	Limits          Limits
	InspectBody     bool // look for addresses in bodies, too: Limits[InBody]
	Action          Action
	Override        bool // [show N] in the Subject lifts the limits
	StripBcc        bool // take Bcc and Resent-Bcc out
	BareNewline     BareNewline
	RejectHint      string // printable US-ASCII, appended to refusals
	Rules           []Rule // tried in order, before the values above
}

// A Policy decides. It does not change and may be used by many goroutines.
type Policy struct {
	Settings
	internal, personal mail.DomainSet
	base               values
	rules              []compiledRule
	wantsBody          bool // a rewrite or a rule looks for an invitation in it
	organisations      bool // a limit needs them
}

// New makes a policy. An error says which setting is wrong.
func New(s Settings) (*Policy, error) {
	internal, err := mail.NewDomainSet(s.InternalDomains)
	if err != nil {
		return nil, fmt.Errorf("internal_domains: %w", err)
	}
	personal, err := mail.NewDomainSet(s.PersonalDomains)
	if err != nil {
		return nil, fmt.Errorf("personal_domains: %w", err)
	}
	if !slices.Contains(BareNewlines, s.BareNewline) {
		return nil, fmt.Errorf("bare_newline: %q is none of %s", s.BareNewline, listed(BareNewlines))
	}
	p := &Policy{Settings: s, internal: internal, personal: personal, base: s.values()}
	p.note(&p.base)
	if err := p.base.check(); err != nil {
		return nil, err
	}
	for i, r := range s.Rules {
		c, err := r.compile(p.base)
		if err != nil {
			return nil, fmt.Errorf("rules[%d].%w", i, err)
		}
		p.note(&c.values)
		p.wantsBody = p.wantsBody || r.Match.Calendar != nil
		p.rules = append(p.rules, c)
	}
	return p, nil
}

// note notes what deciding with some values takes.
func (p *Policy) note(v *values) {
	p.wantsBody = p.wantsBody || v.action == Bcc || v.action == Individual
	p.organisations = p.organisations || v.limits[Organisations] != Unlimited
}

// RuleNames lists what Rule of a verdict may be.
func (p *Policy) RuleNames() []string {
	names := []string{RulePolicy}
	for _, r := range p.rules {
		names = append(names, r.values.rule)
	}
	return names
}

// maxHint keeps a refusal within the 512 bytes of a reply line (RFC 5321
// section 4.5.3.1.5).
const maxHint = 200
