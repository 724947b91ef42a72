package policy

import (
	"bytes"
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

	// Individual sends one copy to each recipient, showing that recipient alone.
	Individual Action = "individual"

	// Override is a verdict only: the sender confirmed the number in the Subject.
	Override Action = "override"
)

// Actions are the actions that a configuration may name.
var Actions = []Action{Allow, Report, Reject, Bcc, Individual}

// A Reason says why a verdict was reached.
type Reason string

const (
	ReasonNone                 Reason = "none"
	ReasonTooManyExternal      Reason = "too_many_external"
	ReasonTooManyOrganisations Reason = "too_many_organisations"
	ReasonTooManyTotal         Reason = "too_many_total"
	ReasonTooManyInBody        Reason = "too_many_in_body"
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
		for _, a := range []Action{Report, Reject, Bcc, Individual, Override} {
			all = append(all, Verdict{Action: a, Reason: r})
		}
	}
	for _, a := range []Action{Report, Reject, Override} {
		all = append(all, Verdict{Action: a, Reason: ReasonTooManyInBody})
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
	InspectBody     bool     // look for addresses in bodies, too
	Body            Limit    // most addresses shown in a body, where they are looked for
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
	p.wantsBody = p.wantsBody || v.action == Bcc || v.action == Individual
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

// WantsBody returns how many bytes of the body, at most MaxBody, Decide needs to
// see beside the header: there may be a copy of the header in it or, where that
// matters, an invitation. body is its begin, as far as it has come; where the
// result is no more than its length, that will do.
func (p *Policy) WantsBody(raw, body []byte) int {
	h := parseHeader(raw)
	switch {
	case !h.wraps():
		return 0
	case p.wantsBody && h.isMultipart():
		return MaxBody
	}
	if h.copies(body).more {
		return min(2*max(len(body), firstLook), MaxBody)
	}
	return min(len(body), MaxBody)
}

// firstLook is half of what is looked at first of a body. That doubles, so that
// all looks together cost no more than twice the last one.
const firstLook = 2048

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
	// Body is the begin of the body, as far as WantsBody asks for it. BodyCut says
	// that the body goes on behind it.
	Body    []byte
	BodyCut bool
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
	body    bodyLimit
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

	// Header is the header to send, Body the begin of the body: the bytes that
	// came, or a copy of them with what had to go cut out. They are nil where the
	// message is refused, and for Individual, which has CopyFor.
	Header, Body []byte
	Rewritten    bool

	copies *copier
}

// Refused reports whether the message must not go out.
func (v *Verdict) Refused() bool { return v.Action == Reject }

// RefusedFor is the verdict for a message that may go out by its header, but
// not for what its body shows: a bare CR or LF, or an invitation.
func (v Verdict) RefusedFor(r Reason) Verdict {
	v.Action, v.Reason, v.Header, v.Body, v.Rewritten, v.copies, v.Concealed = Reject, r, nil, nil, false, nil, 0
	v.body = bodyLimit{limit: Unlimited}
	return v
}

// Decide says what is to be done with a message. A header that cannot be read
// as one is refused whatever the action.
func (p *Policy) Decide(m Message) Verdict {
	d := p.look(&m)
	v := Verdict{Action: Allow, Rule: d.rule.rule, Reason: ReasonNone, Claimed: -1, Limit: Unlimited,
		Override: d.rule.override, Hint: d.rule.hint, Outside: len(p.internal) > 0, body: bodyLimit{limit: Unlimited}}
	v.Exposure = d.expose(d.headers)
	if defect := d.outer.defect; defect.reason != "" {
		v = v.RefusedFor(defect.reason)
		v.Line = defect.line
		return v
	}
	if d.rule.action != Allow {
		v.Reason, v.Count, v.Limit = d.rule.exceeded(v.Exposure)
		v.CountOf = v.Reason
	}
	e := d.stripped()
	if v.Reason != ReasonNone {
		e.add(d.overLimit(&v))
	}
	switch {
	case v.Refused():
		return v
	case v.Action == Individual:
		v.copies, v.Rewritten = d.copier(e), true
	default:
		v.Header, v.Body, v.Rewritten = d.apply(e)
	}
	v.Claimed = -1
	v.body = d.leftToBody(&v)
	return v
}

// A decision is what Decide knows about one message.
type decision struct {
	*Policy
	message *Message
	headers []shownHeader // the message's own first, then its copies in the body
	outer   *header       // the first of them
	signed  [kindCount]bool
	own     *addressSet // the sender's addresses, which do not count
	rule    *values
}

// look takes a message apart.
func (p *Policy) look(m *Message) *decision {
	outer := parseHeader(m.Header)
	w := outer.copies(m.Body)
	if w.open && m.BodyCut {
		outer.defective(ReasonUnreadableHeader, bytes.Count(outer.raw, crlf)+1)
	}
	if outer.has(kindDKIMSignature) { // it covers the body, too
		for i := range w.found {
			w.found[i].fixed = true
		}
	}
	d := &decision{Policy: p, message: m, headers: append([]shownHeader{{header: outer}}, w.found...)}
	d.outer = &d.headers[0].header
	d.signed = d.outer.signedKinds()
	d.own = d.outer.ownAddresses(m.Sender)
	d.rule = p.valuesFor(d.outer, m)
	return d
}

// hidden reports a field that is taken out before the message goes on.
func (d *decision) hidden(h *shownHeader, f field) bool {
	return d.StripBcc && (f.kind == kindBcc || f.kind == kindResentBcc) && !h.fixed && !d.signed[f.kind]
}

// stripped takes out the fields that are hidden.
func (d *decision) stripped() edits {
	e := make(edits, len(d.headers))
	for n := range d.headers {
		h := &d.headers[n]
		for _, f := range h.fields {
			if d.hidden(h, f) {
				e[n] = append(e[n], cut{start: f.start, end: f.end})
			}
		}
	}
	return e
}

// overLimit decides about a message that is over a limit, and returns the edits
// that this takes.
func (d *decision) overLimit(v *Verdict) (e edits) {
	v.Action = d.rule.action
	if d.rule.override {
		found, wrong, e := d.override(v.Count)
		if found {
			v.Action = Override
			return e
		}
		v.Claimed = wrong
	}
	var changed [kindCount]bool
	switch v.Action {
	case Bcc:
		e, changed = d.conceal()
	case Individual:
		e, changed = d.single()
	default:
		return nil
	}
	if reason := d.rewriteRefusal(changed); reason != ReasonNone {
		v.Action, v.Reason = Reject, reason
		return nil
	}
	after := d.expose(d.afterwards(e))
	if reason, _, _ := d.rule.exceeded(after); reason != ReasonNone {
		v.Action = Reject
		if d.hasFixedCopy() {
			v.Reason = ReasonSigned // it repeats them
		}
		return nil
	}
	v.Concealed = v.Exposure.Visible - after.Visible
	return e
}

// hasFixedCopy reports a copy of the header that cannot change.
func (d *decision) hasFixedCopy() bool {
	return slices.ContainsFunc(d.headers, func(h shownHeader) bool { return h.fixed })
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
