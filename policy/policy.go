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

	// Override is a verdict only: the sender confirmed the number in the Subject.
	Override Action = "override"
)

// Actions are the actions that a configuration may name.
var Actions = []Action{Allow, Report, Reject}

// A Reason says why a verdict was reached.
type Reason string

const (
	ReasonNone             Reason = "none"
	ReasonTooManyExternal  Reason = "too_many_external"
	ReasonTooManyTotal     Reason = "too_many_total"
	ReasonUnreadableHeader Reason = "unreadable_header"
	ReasonBareNewline      Reason = "bare_newline"
)

// PossibleVerdicts lists the pairs of Action and Reason that a verdict may
// have; its other values are zero.
func PossibleVerdicts() (all []Verdict) {
	all = append(all, Verdict{Action: Allow, Reason: ReasonNone})
	for _, r := range []Reason{ReasonTooManyExternal, ReasonTooManyTotal} {
		for _, a := range []Action{Report, Reject, Override} {
			all = append(all, Verdict{Action: a, Reason: r})
		}
	}
	for _, r := range []Reason{ReasonUnreadableHeader, ReasonBareNewline} {
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
	External        Limit    // most outside addresses shown
	Total           Limit    // most addresses shown
	Action          Action
	Override        bool // [show N] in the Subject lifts the limits
	StripBcc        bool // take Bcc and Resent-Bcc out
	BareNewline     BareNewline
	RejectHint      string // printable US-ASCII, appended to refusals
}

// A Policy decides. It does not change and may be used by many goroutines.
type Policy struct {
	Settings
	internal domainSet
}

// New makes a policy. An error says which setting is wrong.
func New(s Settings) (*Policy, error) {
	internal, err := newDomainSet(s.InternalDomains)
	if err != nil {
		return nil, fmt.Errorf("internal_domains: %w", err)
	}
	if !slices.Contains(Actions, s.Action) {
		return nil, fmt.Errorf("action: %q is none of %v", s.Action, Actions)
	}
	if !slices.Contains(BareNewlines, s.BareNewline) {
		return nil, fmt.Errorf("bare_newline: %q is none of %v", s.BareNewline, BareNewlines)
	}
	for _, limit := range []Limit{s.External, s.Total} {
		if limit < Unlimited {
			return nil, fmt.Errorf("limits: %d is less than zero", limit)
		}
	}
	if len(s.RejectHint) > maxHint {
		return nil, fmt.Errorf("reject_hint: longer than %d characters", maxHint)
	}
	for _, c := range s.RejectHint {
		if c < ' ' || c > '~' {
			return nil, fmt.Errorf("reject_hint: only printable US-ASCII characters can be part of an SMTP reply")
		}
	}
	return &Policy{s, internal}, nil
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
	// Body is the begin of the body, as far as WantsBody asks for it.
	Body []byte
}

// A Verdict is what is to be done with one message, and why.
type Verdict struct {
	Action   Action // what was decided
	Rule     string // the rule that decided
	Reason   Reason
	Exposure Exposure

	// Count and Limit belong to the exceeded limit that gave the reason.
	Count int
	Limit Limit
	// Claimed is the number of a wrong override tag, or -1.
	Claimed int
	// Line is where a header cannot be read, the first line being 1.
	Line int

	// Header is the header to send: the bytes that came, or a copy of them
	// with what had to go cut out. It is nil where the message is refused.
	Header    []byte
	Rewritten bool
}

// Refused reports whether the message must not go out.
func (v *Verdict) Refused() bool { return v.Action == Reject }

// WithBareNewline is the verdict for a message that may go out by its header
// and has a bare CR or LF in its body.
func (v Verdict) WithBareNewline() Verdict {
	v.Action, v.Reason, v.Header = Reject, ReasonBareNewline, nil
	return v
}

// Decide says what is to be done with a message. A header that cannot be read
// as one is refused whatever the action.
func (p *Policy) Decide(m Message) Verdict {
	h := parseHeader(m.Header)
	signed := h.signedKinds()
	stripped := func(f field) bool {
		return p.StripBcc && (f.kind == kindBcc || f.kind == kindResentBcc) && !signed[f.kind]
	}
	v := Verdict{Action: Allow, Rule: RulePolicy, Reason: ReasonNone, Claimed: -1, Limit: Unlimited}
	v.Exposure = expose(&h, m.Sender, p.internal, stripped)
	if h.defect.reason != "" {
		v.Action, v.Reason, v.Line = Reject, h.defect.reason, h.defect.line
		return v
	}
	var cuts []cut
	for _, f := range h.fields {
		if stripped(f) {
			cuts = append(cuts, cut{f.start, f.end, nil})
		}
	}
	if p.Action != Allow {
		v.Reason, v.Count, v.Limit = p.exceeded(v.Exposure)
	}
	if v.Reason != ReasonNone {
		v.Action = p.Action
		if p.Override {
			found, wrong, tagCuts := h.override(v.Count)
			switch {
			case found:
				v.Action = Override
				if !signed[kindSubject] {
					cuts = append(cuts, tagCuts...)
				}
			case v.Action == Reject:
				v.Claimed = wrong
			}
		}
	}
	if !v.Refused() {
		slices.SortFunc(cuts, func(a, b cut) int { return a.start - b.start })
		v.Header, v.Rewritten = rewrite(m.Header, cuts), len(cuts) > 0
	}
	return v
}

// exceeded names the first limit that the exposure exceeds.
func (p *Policy) exceeded(e Exposure) (Reason, int, Limit) {
	switch {
	case p.External.exceededBy(e.External):
		return ReasonTooManyExternal, e.External, p.External
	case p.Total.exceededBy(e.Visible):
		return ReasonTooManyTotal, e.Visible, p.Total
	}
	return ReasonNone, 0, Unlimited
}
