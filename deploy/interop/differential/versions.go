package main

import (
	"bytes"
	"iter"

	before "sendguard.before/policy"
	beforemail "sendguard.before/policy/mail"
	now "sendguard/policy"
	nowmail "sendguard/policy/mail"
)

// A message is what both versions are given.
type message struct{ header, body []byte }

// parse parts a message behind its first empty line.
func parse(text []byte) message {
	if end := bytes.Index(text, []byte("\r\n\r\n")); end >= 0 {
		return message{text[:end+4], text[end+4:]}
	}
	return message{header: text}
}

func (m message) text() []byte { return append(bytes.Clone(m.header), m.body...) }

// A reading is what one version says of a message, as far as it is compared.
type reading struct {
	Visible, Internal, Body int
	Action, Reason          string
	Line                    int
	Rewritten               string // what action bcc would do in place of a refusal
}

// A pair reads messages with both versions.
type pair struct {
	nowReject, nowBcc       *now.Policy
	beforeReject, beforeBcc *before.Policy
	values                  bool // messages have one field, which alone is read
	bodies                  bool // are inspected
	bcc                     bool // what action bcc would do is compared, too
}

// inside is the domain whose addresses are internal.
const inside = "corp.example"

// sender is the address in the envelope.
const sender = "me@home.example"

// newPair makes policies with limits.external, and limits.body where it is not zero.
func newPair(limit, inBody int) (*pair, error) {
	p := pair{bodies: inBody > 0, bcc: true}
	var err error
	settings := now.Settings{InternalDomains: []string{inside, "." + inside}, Limits: now.NoLimits(), InspectBody: inBody > 0, Action: now.Reject,
		Override: true, StripBcc: true, BareNewline: now.RejectBare}
	settings.Limits[now.External], settings.Limits[now.InBody] = now.Limit(limit), now.Unlimited
	if inBody > 0 {
		settings.Limits[now.InBody] = now.Limit(inBody)
	}
	if p.nowReject, err = now.New(settings); err != nil {
		return nil, err
	}
	settings.Action, settings.InspectBody, settings.Limits[now.InBody] = now.Bcc, false, now.Unlimited
	if p.nowBcc, err = now.New(settings); err != nil {
		return nil, err
	}
	earlier := before.Settings{InternalDomains: settings.InternalDomains, Limits: before.NoLimits(), InspectBody: inBody > 0, Action: before.Reject,
		Override: true, StripBcc: true, BareNewline: before.RejectBare}
	earlier.Limits[before.External], earlier.Limits[before.InBody] = before.Limit(limit), before.Unlimited
	if inBody > 0 {
		earlier.Limits[before.InBody] = before.Limit(inBody)
	}
	if p.beforeReject, err = before.New(earlier); err != nil {
		return nil, err
	}
	earlier.Action, earlier.InspectBody, earlier.Limits[before.InBody] = before.Bcc, false, before.Unlimited
	p.beforeBcc, err = before.New(earlier)
	return &p, err
}

// now and before read a message, or the value of a field.
func (p *pair) now(m message) reading {
	if p.values {
		set := nowmail.DistinctAddresses(value(m))
		return inValue(set.Len(), set.All())
	}
	judge := func(policy *now.Policy) now.Verdict {
		j := policy.NewJudge(now.Envelope{Sender: sender, Measure: p.bodies})
		defer j.Close()
		j.Header(m.header)
		if isBare(m.body) {
			j.Bare()
		}
		j.Body(m.body)
		return j.End()
	}
	v := judge(p.nowReject)
	r := reading{v.Exposure.Visible, v.Exposure.Internal, v.Exposure.Body, string(v.Action), string(v.Reason), v.Line, ""}
	if v.Action == now.Reject && p.bcc {
		v = judge(p.nowBcc)
		r.Rewritten = string(v.Action) + " " + string(v.Reason)
	}
	return r
}

func (p *pair) before(m message) reading {
	if p.values {
		set := beforemail.DistinctAddresses(value(m))
		return inValue(set.Len(), set.All())
	}
	judge := func(policy *before.Policy) before.Verdict {
		j := policy.NewJudge(before.Envelope{Sender: sender, Measure: p.bodies})
		defer j.Close()
		j.Header(m.header)
		if isBare(m.body) {
			j.Bare()
		}
		j.Body(m.body)
		return j.End()
	}
	v := judge(p.beforeReject)
	r := reading{v.Exposure.Visible, v.Exposure.Internal, v.Exposure.Body, string(v.Action), string(v.Reason), v.Line, ""}
	if v.Action == before.Reject && p.bcc {
		v = judge(p.beforeBcc)
		r.Rewritten = string(v.Action) + " " + string(v.Reason)
	}
	return r
}

func (p *pair) agree(m message) bool { return p.now(m) == p.before(m) }

// readAlike reports whether each version reads the same in two messages, and what
// they would rewrite differs in both or in none.
func (p *pair) readAlike(a, b message) bool {
	nowA, nowB, beforeA, beforeB := p.now(a), p.now(b), p.before(a), p.before(b)
	if (nowA.Rewritten == beforeA.Rewritten) != (nowB.Rewritten == beforeB.Rewritten) {
		return false
	}
	nowA.Rewritten, nowB.Rewritten, beforeA.Rewritten, beforeB.Rewritten = "", "", "", ""
	return nowA == nowB && beforeA == beforeB
}

// value is that of the only field of a message.
func value(m message) []byte { return bytes.TrimPrefix(m.header, []byte(fieldTo)) }

const fieldTo = "To:"

func inValue(n int, addresses iter.Seq[[]byte]) reading {
	r := reading{Visible: n}
	for address := range addresses {
		if domain := address[bytes.LastIndexByte(address, '@')+1:]; bytes.Equal(domain, []byte(inside)) || bytes.HasSuffix(domain, []byte("."+inside)) {
			r.Internal++
		}
	}
	return r
}

// agreeOnHeader reports whether the versions see the same addresses in the header.
func (p *pair) agreeOnHeader(m message) bool {
	now, before := p.now(m), p.before(m)
	return now.Visible == before.Visible && now.Internal == before.Internal
}

// isBare reports a CR or LF that stands alone.
func isBare(text []byte) bool {
	for i, c := range text {
		if c == '\n' && (i == 0 || text[i-1] != '\r') || c == '\r' && (i+1 == len(text) || text[i+1] != '\n') {
			return true
		}
	}
	return false
}
