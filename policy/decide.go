package policy

import (
	"bytes"

	"sendguard/policy/mail"
)

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
	// Body is the start of the body, as far as WantsBody asks for it. BodyCut says
	// that the body goes on behind it.
	Body    []byte
	BodyCut bool
}

// Decide says what is to be done with a message. A header that cannot be read
// as one is refused whatever the action.
func (p *Policy) Decide(m Message) Verdict {
	d := p.look(&m)
	v := Verdict{Action: Allow, Rule: d.rule.rule, Reason: ReasonNone, Claimed: -1, Limit: Unlimited,
		Override: d.rule.override, Hint: d.rule.hint, Outside: len(p.internal) > 0, body: bodyLimit{limit: Unlimited}}
	v.Exposure = d.expose(d.headers)
	if defect := d.outer.Defect; defect.Line > 0 {
		reason := ReasonUnreadableHeader
		if defect.Bare {
			reason = ReasonBareNewline
		}
		v = v.RefusedFor(reason)
		v.Line = defect.Line
		return v
	}
	if d.rule.action != Allow {
		if c, over := d.rule.limits.exceeded(&v.Exposure); over {
			v.over(c, d.rule.limits[c])
		}
	}
	e := d.withoutBcc()
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
	if v.body = d.leftToBody(&v); !v.AwaitsBody() {
		v.Claimed = -1
	}
	return v
}

// A decision is what Decide knows about one message.
type decision struct {
	*Policy
	message *Message
	headers []mail.ShownHeader // the message's own first, then its copies in the body
	outer   *mail.Header       // the first of them
	signed  [mail.Kinds]bool
	own     *mail.AddressSet // the sender's addresses, which do not count
	rule    *values
}

// look takes a message apart, and finds what holds for it.
func (p *Policy) look(m *Message) *decision {
	d := m.takeApart()
	d.Policy = p
	d.own = ownAddresses(d.outer, m.Sender)
	d.rule = p.valuesFor(d.outer, m)
	return d
}

// takeApart finds the header of a message, and its copies in the body.
func (m *Message) takeApart() *decision {
	outer := mail.ParseHeader(m.Header)
	w := outer.Copies(m.Body)
	if w.Open && m.BodyCut || w.Deep {
		outer.Defective(bytes.Count(outer.Raw, mail.CRLF)+1, false)
	}
	if outer.Has(mail.DKIMSignature) { // it covers the body, too
		for i := range w.Found {
			w.Found[i].Frozen = true
		}
	}
	d := &decision{message: m, headers: append([]mail.ShownHeader{{Header: outer}}, w.Found...)}
	d.outer = &d.headers[0].Header
	d.signed = d.outer.SignedKinds()
	return d
}

// takesOut reports a field that is taken out before the message goes on.
func (d *decision) takesOut(h *mail.ShownHeader, f mail.Field) bool {
	return d.StripBcc && (f.Kind == mail.Bcc || f.Kind == mail.ResentBcc) && !h.Frozen && !d.signed[f.Kind]
}

// withoutBcc takes out the fields that must not go on.
func (d *decision) withoutBcc() edits {
	e := make(edits, len(d.headers))
	for n := range d.headers {
		h := &d.headers[n]
		for _, f := range h.Fields {
			if d.takesOut(h, f) {
				e[n] = append(e[n], cut{start: f.Start, end: f.End})
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
		if wrong >= 0 && v.Action != Report && d.rule.limits[InBody] == Unlimited { // else it may be that of the body
			v.Action = Reject // a rewrite is not what the sender asked for
			return nil
		}
	}
	var changed [mail.Kinds]bool
	switch v.Action {
	case Bcc:
		e, changed = d.conceal()
	case Individual:
		e, changed = d.showRecipientAlone()
	default:
		return nil
	}
	if reason := d.rewriteRefusal(changed); reason != ReasonNone {
		v.Action, v.Reason = Reject, reason
		return nil
	}
	after := d.expose(d.afterwards(e))
	switch _, over := d.rule.limits.exceeded(&after); {
	case d.repeats(v.Action):
		v.Action, v.Reason = Reject, ReasonSigned
		return nil
	case over:
		v.Action = Reject
		return nil
	}
	v.Concealed = v.Exposure.Visible - after.Visible
	return e
}
