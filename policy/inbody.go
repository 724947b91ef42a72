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
	// above is what a body may show whatever the limit: the number with which the
	// sender has confirmed the header.
	above int
}

// leftToBody says what the body may still change about a verdict. Where the header
// is over a limit and was not mended, only a number that is larger than the
// header's can be that of the body, and then it lifts both.
func (d *decision) leftToBody(v *Verdict) bodyLimit {
	limit := d.rule.limits[InBody]
	tagged := d.rule.override && limit != Unlimited && hasTag(d.outer)
	switch {
	case d.rule.action == Allow || v.Action == Report, v.Refused() && !(tagged && v.Limit != Unlimited && v.Claimed > v.Count):
		return bodyLimit{limit: Unlimited}
	case v.Action == Override:
		return bodyLimit{limit: limit, action: Reject, above: v.Count}
	}
	return bodyLimit{limit: limit, action: d.rule.action, tagged: tagged}
}

// exceededBy reports whether a body that shows n addresses is over its limit. One with
// an attachment that is too large to be searched may show any number more.
func (l *bodyLimit) exceededBy(n int, tooLarge bool) bool {
	return l.limit.exceededBy(n) && n > l.above || tooLarge && l.limit != Unlimited && (n > l.above || l.above == 0)
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
func (l *bodyLimit) stopsAt(n int, tooLarge bool) bool {
	return l.exceededBy(n, tooLarge) && l.action != Report && !l.tagged
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
