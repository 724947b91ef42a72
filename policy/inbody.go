package policy

import (
	"sendguard/policy/body"
	"sendguard/policy/mail"
)

// A bodyLimit is what a verdict on a header leaves for the body to decide.
type bodyLimit struct {
	limit  Limit
	action Action
	tagged bool // an override tag may be meant for the body
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

// hasTag reports an override tag in the Subject, whatever its number.
func hasTag(h *mail.Header) bool {
	_, number, _ := findTag(h, -1)
	return number >= 0
}

// InspectsBody reports whether the message can still be over a limit by what
// its body shows. Its body is then to be counted, and WithBody to decide.
func (v *Verdict) InspectsBody() bool { return v.body.limit != Unlimited }

// AwaitsBody reports whether only the whole body can decide: the header has an
// override tag, and the number in it may turn out to be that of the body. The
// header that WithBody returns is then without the tag; where the header has
// to go out before the body was counted, the tag stays in it.
func (v *Verdict) AwaitsBody() bool { return v.body.tagged }

// StopsAt reports whether a message will be refused that shows n addresses in
// its body so far, whatever follows.
func (v *Verdict) StopsAt(n int) bool {
	return v.body.limit.exceededBy(n) && v.body.action != Report && !v.AwaitsBody()
}

// WithBody is the verdict when the whole body has shown n addresses. A body is
// never rewritten: where the action calls for that, the message is refused.
func (v Verdict) WithBody(n int) Verdict {
	v.Exposure.Body = n
	switch {
	case v.body.limit.exceededBy(n):
	case v.AwaitsBody() && v.Claimed >= 0: // the tag is for neither header nor body
		return v.RefusedFor(v.Reason)
	default:
		return v
	}
	v.over(InBody, v.body.limit)
	if v.AwaitsBody() {
		found, wrong := v.overrides(n)
		if found {
			v.Action, v.Claimed = Override, -1
			return v
		}
		v.Claimed = wrong
	}
	if v.body.action == Report {
		v.Action, v.Claimed = Report, -1
		return v
	}
	return v.RefusedFor(ReasonTooManyInBody)
}

// overrides looks for an override tag with the number n, and takes it out, of
// copies of the header too. The copies of a message stay copies: each shows its
// recipient alone.
func (v *Verdict) overrides(n int) (found bool, wrong int) {
	if v.copies != nil {
		return v.copies.overrides(n)
	}
	d := (&Message{Header: v.Header, Body: v.Body}).takeApart()
	found, wrong, e := d.override(n)
	if e != nil {
		v.Header, v.Body, _ = d.apply(e)
		v.Rewritten = true
	}
	return found, wrong
}

// NewBodyScanner counts what the body behind a header shows, the addresses of the
// envelope's sender left out. stuffed says that the pieces come as they do on the
// wire (RFC 5321 section 4.5.2).
func NewBodyScanner(header []byte, sender string, stuffed bool) *body.Counter {
	h := mail.ParseHeader(header)
	return body.NewCounter(header, ownAddresses(&h, sender), stuffed)
}

// A BodyScanner counts what a body shows.
type BodyScanner = body.Counter

// MaxInBody is the highest limit for the addresses that a body may show.
const MaxInBody = body.MaxCount
