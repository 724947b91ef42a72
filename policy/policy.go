package policy

import (
	"fmt"
	"slices"
)

// An Action is what the policy wants done with a message that is over a limit.
type Action string

const (
	Allow  Action = "allow"  // no limits
	Report Action = "report" // let it through, count it and log it: for a trial run
	Reject Action = "reject" // refuse it
	Bcc    Action = "bcc"    // take the outside addresses out of sight

	// Override is a verdict only: the sender confirmed the number in the Subject.
	Override Action = "override"
)

// Actions are the actions that a configuration may name.
var Actions = []Action{Allow, Report, Reject, Bcc}

// A Reason says why a verdict was reached.
type Reason string

const (
	ReasonNone                 Reason = "none"
	ReasonTooManyExternal      Reason = "too_many_external"
	ReasonTooManyOrganisations Reason = "too_many_organisations"
	ReasonTooManyTotal         Reason = "too_many_total"
	ReasonUnreadableHeader     Reason = "unreadable_header"
	ReasonBareNewline          Reason = "bare_newline"

	// A rewrite was called for and refused.
	ReasonSigned    Reason = "signed"    // a DKIM signature covers what it would change
	ReasonSealed    Reason = "sealed"    // encrypted: the addresses may be inside, too
	ReasonAttendees Reason = "attendees" // an invitation lists them again
)

// PossibleVerdicts lists the pairs of Action and Reason that a verdict may
// have; its other values are zero.
func PossibleVerdicts() (all []Verdict) {
	all = append(all, Verdict{Action: Allow, Reason: ReasonNone})
	for _, r := range []Reason{ReasonTooManyExternal, ReasonTooManyOrganisations, ReasonTooManyTotal} {
		for _, a := range []Action{Report, Reject, Bcc, Override} {
			all = append(all, Verdict{Action: a, Reason: r})
		}
	}
	for _, r := range []Reason{ReasonUnreadableHeader, ReasonBareNewline, ReasonSigned, ReasonSealed, ReasonAttendees} {
		all = append(all, Verdict{Action: Reject, Reason: r})
	}
	return all
}

// RulePolicy is the name of the rule where no other matched: the policy itself.
const RulePolicy = "policy"

// A Limit is how many addresses may be shown, or Unlimited.
type Limit int

// Unlimited is no limit. Zero is one: nothing may be shown.
const Unlimited Limit = -1

func (l Limit) exceededBy(n int) bool { return l != Unlimited && n > int(l) }

// A BareNewline says what becomes of a message with a CR or LF that stands
// alone (RFC 5321 section 2.3.8).
type BareNewline string

const (
	RejectBare    BareNewline = "reject"
	NormalizeBare BareNewline = "normalize" // into CRLF, by the caller, before Decide
)

// BareNewlines are the values that a configuration may give.
var BareNewlines = []BareNewline{RejectBare, NormalizeBare}

// Settings are the values of a policy, as a configuration gives them.
type Settings struct {
	InternalDomains []string // example.com; .example.com for its subdomains
	PersonalDomains []string // further providers of personal mailboxes
	External        Limit    // most outside addresses shown
	Organisations   Limit    // most organisations of outside addresses
	Total           Limit    // most addresses shown
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
	internal, personal domainSet
	base               values
	rules              []compiledRule
	wantsBody          bool
	organisations      bool // a limit needs them
}

// New makes a policy. An error says which setting is wrong.
func New(s Settings) (*Policy, error) {
	internal, err := newDomainSet(s.InternalDomains)
	if err != nil {
		return nil, fmt.Errorf("internal_domains: %w", err)
	}
	personal, err := newDomainSet(s.PersonalDomains)
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
	p.wantsBody = p.wantsBody || v.action == Bcc
	p.organisations = p.organisations || v.organisations != Unlimited
}

// RuleNames lists what Rule of a verdict may be.
func (p *Policy) RuleNames() []string {
	names := []string{RulePolicy}
	for _, r := range p.rules {
		names = append(names, r.values.rule)
	}
	return names
}

// WantsBody reports whether Decide needs the begin of the body, up to MaxBody,
// beside the header: there may be a copy of the header in it or, where that
// matters, an invitation.
func (p *Policy) WantsBody(raw []byte) bool {
	h := parseHeader(raw)
	return h.wraps() || p.wantsBody && h.isMultipart()
}

// maxHint keeps a refusal within the 512 bytes of a reply line (RFC 5321
// section 4.5.3.1.5).
const maxHint = 200

// A Message is what Decide looks at.
type Message struct {
	// Header is the header as the client sent it, without dot-stuffing, with
	// the empty line that ends it where there is one.
	Header []byte
	// Sender is the reverse-path of the envelope, without angle brackets.
	Sender string
	// Recipients are the forward-paths of the envelope, without angle brackets.
	Recipients []string
	// Route is the name of the route that the message takes.
	Route string
	// User is the name that the client has logged in with at sendguard; "" is none.
	User string
	// Organisations has them counted even where no limit needs it.
	Organisations bool
	// Body is the begin of the body, as far as WantsBody asks for it.
	Body []byte
}

// A Verdict is what is to be done with one message, and why.
type Verdict struct {
	Action   Action // what was decided
	Rule     string // the rule that decided
	Reason   Reason
	Exposure Exposure

	// Count and Limit belong to the limit that was exceeded, which CountOf
	// names: it is Reason but where a rewrite was refused.
	Count   int
	Limit   Limit
	CountOf Reason
	// Claimed is the number of a wrong override tag, or -1.
	Claimed int
	// Line is where a header cannot be read, the first line being 1.
	Line int

	// Concealed is how many addresses a rewrite took out of sight.
	Concealed int
	// Override says that [show N] would lift the limits, Hint what a refusal
	// ends with, Outside that there is an inside.
	Override, Outside bool
	Hint              string

	// Header is the header to send: the bytes that came, or a copy of them
	// with what had to go cut out. It is nil where the message is refused.
	Header    []byte
	Rewritten bool
}

// Refused reports whether the message must not go out.
func (v *Verdict) Refused() bool { return v.Action == Reject }

// RefusedFor is the verdict for a message that may go out by its header, but
// not for what its body shows: a bare CR or LF, or an invitation.
func (v Verdict) RefusedFor(r Reason) Verdict {
	v.Action, v.Reason, v.Header, v.Concealed = Reject, r, nil, 0
	return v
}

// Decide says what is to be done with a message. A header that cannot be read
// as one is refused whatever the action.
func (p *Policy) Decide(m Message) Verdict {
	d := p.look(&m)
	v := Verdict{Action: Allow, Rule: d.rule.rule, Reason: ReasonNone, Claimed: -1, Limit: Unlimited,
		Override: d.rule.override, Hint: d.rule.hint, Outside: len(p.internal) > 0}
	v.Exposure = d.expose(&d.header)
	if defect := d.header.defect; defect.reason != "" {
		v.Action, v.Reason, v.Line = Reject, defect.reason, defect.line
		return v
	}
	var cuts []cut
	for _, f := range d.header.fields {
		if d.hidden(f) {
			cuts = append(cuts, cut{f.start, f.end, nil})
		}
	}
	if d.rule.action != Allow {
		v.Reason, v.Count, v.Limit = d.rule.exceeded(v.Exposure)
		v.CountOf = v.Reason
	}
	if v.Reason != ReasonNone {
		cuts = append(cuts, d.overLimit(&v)...)
	}
	if !v.Refused() {
		v.Claimed = -1
		slices.SortFunc(cuts, func(a, b cut) int { return a.start - b.start })
		v.Header, v.Rewritten = rewrite(m.Header, cuts), len(cuts) > 0
	}
	return v
}

// A decision is what Decide knows about one message.
type decision struct {
	*Policy
	message *Message
	header  header
	copies  []header // of the header, in the body
	signed  [kindCount]bool
	own     *addressSet // the sender's addresses, which do not count
	rule    *values
}

// look takes a message apart.
func (p *Policy) look(m *Message) *decision {
	d := &decision{Policy: p, message: m, header: parseHeader(m.Header)}
	copies, missing := d.header.copies(m.Body)
	if d.header.defect.reason == "" {
		d.header.defect = missing
	}
	d.copies = copies
	d.signed = d.header.signedKinds()
	d.own = d.header.ownAddresses(m.Sender)
	d.rule = p.valuesFor(&d.header, m)
	return d
}

// hidden reports a field that is taken out before the message goes on.
func (d *decision) hidden(f field) bool {
	return d.StripBcc && (f.kind == kindBcc || f.kind == kindResentBcc) && !d.signed[f.kind]
}

// overLimit decides about a message that is over a limit, and returns the cuts
// that this takes.
func (d *decision) overLimit(v *Verdict) []cut {
	v.Action = d.rule.action
	if d.rule.override {
		found, wrong, cuts := d.header.override(v.Count)
		if found {
			v.Action = Override
			if d.signed[kindSubject] {
				return nil
			}
			return cuts
		}
		v.Claimed = wrong
	}
	if v.Action != Bcc {
		return nil
	}
	cuts, changed := d.conceal()
	if reason := d.rewriteRefusal(changed); reason != ReasonNone {
		v.Action, v.Reason = Reject, reason
		return nil
	}
	again := parseHeader(rewrite(d.message.Header, cuts))
	after := d.expose(&again)
	if reason, _, _ := d.rule.exceeded(after); reason != ReasonNone || again.defect.reason != "" {
		v.Action = Reject
		if len(d.copies) > 0 && d.header.isSigned() {
			v.Reason = ReasonSigned // the signed part repeats them
		}
		return nil
	}
	v.Concealed = v.Exposure.Visible - after.Visible
	return cuts
}

// exceeded names the first limit that an exposure exceeds.
func (r *values) exceeded(e Exposure) (Reason, int, Limit) {
	switch {
	case r.external.exceededBy(e.External):
		return ReasonTooManyExternal, e.External, r.external
	case r.organisations.exceededBy(e.Organisations):
		return ReasonTooManyOrganisations, e.Organisations, r.organisations
	case r.total.exceededBy(e.Visible):
		return ReasonTooManyTotal, e.Visible, r.total
	}
	return ReasonNone, 0, Unlimited
}
