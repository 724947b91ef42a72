package policy

import (
	"bytes"

	"sendguard/policy/mail"
)

// A bodyLimit is what a verdict on a header leaves for the body to decide.
type bodyLimit struct {
	limit  Limit
	action Action
	// tagged says that only the whole body can decide: the Subject has an override
	// tag, and the number in it may turn out to be that of the body.
	tagged bool
}

// leftToBody says what the body may still change about a verdict: nothing where
// the header is over a limit already, unless that was mended.
func (d *decision) leftToBody(v *Verdict) bodyLimit {
	if d.rule.action == Allow || v.Refused() || v.Action == Report || v.Action == Override {
		return bodyLimit{limit: Unlimited}
	}
	limit := d.rule.limits[InBody]
	return bodyLimit{limit, d.rule.action, d.rule.override && limit != Unlimited && hasTag(d.outer)}
}

// inSight are the addresses that do not count in the body: the sender's own, and
// those that every recipient sees in the header as it goes out. Copies that show
// their recipient alone show nobody to all.
func (d *decision) inSight() *mail.AddressSet {
	if d.alone {
		return d.own
	}
	set, headers := d.own.Clone(), d.headers
	if d.edits != nil {
		headers = d.afterwards(d.edits)
	}
	for n := range headers {
		h := &headers[n]
		for _, f := range h.Fields {
			if mail.HoldsAddresses[f.Kind] && !d.takesOut(h, f) {
				set.Scan(h.Value(f))
			}
		}
	}
	return set
}

// isKnown reports a domain where people have addresses for certain, however odd its
// name: an inside one, or that of a provider of personal mailboxes (163.com).
func (p *Policy) isKnown(domain []byte) bool {
	return p.internal.Has(domain) || bytes.IndexByte(domain, '.') > 0 && isPersonal(p.personal, domain)
}

// hasTag reports an override tag in the Subject, whatever its number.
func hasTag(h *mail.Header) bool {
	_, number, _ := findTag(h, -1)
	return number >= 0
}

// stopsAt reports whether a message will be refused that shows n addresses in its
// body so far, whatever follows.
func (l *bodyLimit) stopsAt(n int) bool {
	return l.limit.exceededBy(n) && l.action != Report && !l.tagged
}

// overrideBody looks for an override tag with the number of a body that is over its
// limit, and reports whether it lifts that. The copies of a message stay copies: each
// shows its recipient alone.
func (d *decision) overrideBody(v *Verdict) bool {
	found, wrong, e := d.override(v.Count)
	if d.alone && found && !d.signed[mail.Subject] {
		_, _, cuts := findTag(d.outer, v.Count)
		e = edits{cuts}
	}
	if v.Claimed = wrong; found {
		d.edits.add(e)
		v.Action, v.Claimed = Override, -1
	}
	return found
}
