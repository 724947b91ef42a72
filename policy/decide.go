package policy

import (
	"bytes"

	"sendguard/policy/mail"
)

// A decision is what is known about one message, as far as it is held.
type decision struct {
	*Policy
	envelope *Envelope
	start    []byte             // of the body
	headers  []mail.ShownHeader // the message's own first, then its copies in the body
	outer    *mail.Header       // the first of them
	signed   [mail.Kinds]bool
	own      *mail.AddressSet // the sender's addresses, which do not count
	rule     *values

	edits edits // that the verdict calls for
	alone bool  // each recipient is shown alone
}

// inspect finds what holds for a message with these copies of its header.
func (p *Policy) inspect(e *Envelope, h mail.Header, copies []mail.ShownHeader, start []byte) *decision {
	d := &decision{Policy: p, envelope: e, start: start, headers: append([]mail.ShownHeader{{Header: h}}, copies...)}
	d.outer = &d.headers[0].Header
	if d.outer.Has(mail.DKIMSignature) { // it covers the body, too
		for i := 1; i < len(d.headers); i++ {
			d.headers[i].Frozen = true
		}
	}
	d.signed = d.outer.SignedKinds()
	d.own = ownAddresses(d.outer, e.Sender)
	d.rule = p.valuesFor(d)
	return d
}

// verdict says what is to be done with the message, by its header. One that cannot
// be read as one is refused whatever the action.
func (d *decision) verdict() Verdict {
	v := Verdict{Action: Allow, Rule: d.rule.rule, Reason: ReasonNone, Claimed: -1, Limit: Unlimited,
		Override: d.rule.override, Hint: d.rule.hint, Outside: len(d.internal) > 0}
	v.Exposure = d.expose(d.headers, d.own)
	if defect := d.outer.Defect; defect.Line > 0 {
		reason := ReasonUnreadableHeader
		if defect.Bare {
			reason = ReasonBareNewline
		}
		v = v.refusedFor(reason)
		v.Line = defect.Line
		return v
	}
	d.edits = d.withoutBcc()
	if d.rule.action != Allow {
		if c, over := d.rule.limits.exceeded(&v.Exposure); over {
			v.over(c, d.rule.limits[c])
			d.edits.add(d.overLimit(&v))
		}
	}
	d.alone = v.Action == Individual
	return v
}

// hold makes copies of what the caller will read over before the verdict.
func (d *decision) hold() {
	d.start = bytes.Clone(d.start)
	for n := range d.headers {
		d.headers[n].Raw = bytes.Clone(d.headers[n].Raw)
	}
}

// takesOut reports a field that is taken out before the message goes on.
func (d *decision) takesOut(h *mail.ShownHeader, f mail.Field) bool {
	return d.StripBcc && mail.IsBcc[f.Kind] && !h.Frozen && !d.signed[f.Kind]
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
	left := d.afterwards(e)
	after := d.expose(left, ownAddresses(&left[0].Header, d.envelope.Sender))
	switch _, over := d.rule.limits.exceeded(&after); {
	case d.repeats(v.Action):
		v.Action, v.Reason = Reject, ReasonSigned
		return nil
	case over:
		v.Action = Reject
		return nil
	}
	v.Concealed = v.Exposure.Visible - d.expose(left, d.own).Visible
	return e
}
