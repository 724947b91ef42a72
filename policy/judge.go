package policy

import (
	"bytes"

	"sendguard/policy/body"
	"sendguard/policy/mail"
)

// An Envelope is what is known of a message beside its bytes.
type Envelope struct {
	Sender     string   // the reverse-path, without angle brackets
	Recipients []string // the forward-paths, without angle brackets
	Route      string   // the name of the route that the message takes
	User       string   // the name that the client has logged in with at sendguard; "" is none

	// Measure has organisations counted, and what the body shows where bodies are
	// inspected, even where nothing is decided by it.
	Measure bool

	// Take is asked before so many bytes are held for a container in the body; nil:
	// there is enough. What it gave is free once the Judge is closed.
	Take func(bytes int) bool
}

// A Next is what a Judge wants of its caller.
type Next int

const (
	// More: nothing is decided. Feed more of the body, and send nothing on.
	More Next = iota
	// Hold: only the whole message can decide. Feed all of the body, and send
	// nothing on before End.
	Hold
	// Watch: send on what came, or what the Verdict has in its place, and feed the
	// body that follows.
	Watch
	// Pass is Watch, and no more of the body is wanted.
	Pass
	// Doom: the message will be refused. What went on of it must never be finished.
	// The body that follows is wanted, for the refusal names a number.
	Doom
	// Refuse: the message is refused, and no more of it is wanted.
	Refuse
)

// MaxBody is how much of a body a Judge holds, and so how much of it may have to
// be held by the caller before anything is decided.
const MaxBody = 64 << 10

// secondLook is how much of a body is looked at where the first piece will not do.
// It doubles, so that all looks together cost no more than twice the last one.
const secondLook = 4096

// parseHeader is mail.ParseHeader, but for a test that counts.
var parseHeader = mail.ParseHeader

// A Judge decides about one message. It is fed with Header once, with Body in
// pieces of any size, without dot-stuffing, as far as it wants them, and with End.
// The pieces make no difference to the verdict.
//
// All that is asked about a message is asked here, in this order: whether its
// header can be read, what it and the copies of it in the body show, what is to be
// done about that, and then, as the body goes by, whether a rewrite would miss an
// invitation, whether the body shows too much, and whether its lines end as they
// must.
type Judge struct {
	policy   *Policy
	envelope Envelope

	header mail.Header
	first  *mail.FirstParts // where copies of the header are looked for
	start  []byte           // of the body, as far as it is held
	look   int              // how much of it is to be held for the next look

	next     Next
	decision *decision
	verdict  Verdict
	left     bodyLimit // what the body may still change
	ended    bool

	lines      newlines
	walk       *mail.Walk // with those that listen:
	invitation *invitation
	counter    *body.Counter
	print      *fingerprint
	rest       []byte // of the body, behind its start, that came before the verdict
}

// NewJudge begins with the envelope of a message.
func (p *Policy) NewJudge(e Envelope) *Judge { return &Judge{policy: p, envelope: e} }

// Header takes the header, with the empty line that ends it where there is one, or
// an empty line and the line behind it. It is not changed, and must stay as it is
// until the next call.
func (j *Judge) Header(raw []byte) Next {
	j.header = parseHeader(raw)
	if !j.header.Wraps() {
		j.decide(false, nil)
		return j.next
	}
	j.header.Raw = bytes.Clone(raw)
	j.first = j.header.FirstParts()
	return j.next
}

// Body takes the next piece of the body. It is not kept.
func (j *Judge) Body(piece []byte) Next {
	switch {
	case j.next == More:
		j.more(piece)
	case j.walk != nil:
		j.listen(piece)
	}
	return j.next
}

// more takes a piece of the body before anything is decided.
func (j *Judge) more(piece []byte) {
	taken := piece[:min(len(piece), MaxBody-len(j.start))]
	n, bare := j.lines.bare(taken)
	if len(j.start) == 0 {
		j.start = taken[:n:n] // it may do: then it need not be held
	} else {
		j.start = append(j.start, taken[:n]...)
	}
	switch rest := piece[n:]; {
	case bare: // the message will not pass: it is judged as if it ended here
		j.decide(false, nil)
		j.heard(rest, true)
	case j.seesEnough() || len(rest) > 0:
		j.decide(len(rest) > 0, rest)
		if j.walk != nil {
			j.listen(rest)
		}
	case len(j.start) == n:
		j.start = bytes.Clone(j.start)
	}
}

// seesEnough reports whether the start of the body that is held will do, whatever
// follows.
func (j *Judge) seesEnough() bool {
	if len(j.start) < j.look || j.policy.wantsBody {
		return false
	}
	j.first.Look(j.start, false)
	j.look = min(max(2*len(j.start), secondLook), MaxBody)
	return !j.first.More
}

// decide decides about the header and the start of the body. cut says that the body
// goes on behind that, with rest.
func (j *Judge) decide(cut bool, rest []byte) {
	j.decision = j.inspect(cut)
	j.verdict = j.decision.verdict()
	j.left = j.decision.leftToBody(&j.verdict)
	if !j.left.tagged && !j.verdict.Refused() {
		j.verdict.Claimed = -1
	}
	j.startWalk()
	switch {
	case j.verdict.Refused() && !j.left.tagged:
		j.next = Refuse
	case j.left.tagged, j.hasCopies():
		j.next = Hold
		j.rest = bytes.Clone(rest)
		j.decision.hold()
	default:
		j.carry(rest)
		if j.next = Watch; j.walk == nil {
			j.next, j.lines.inCR = Pass, false
		}
		if j.next == Pass && j.lines.look { // it is ahead
			j.refuse(ReasonBareNewline)
		}
	}
}

// inspect takes the message apart, as far as it is held.
func (j *Judge) inspect(cut bool) *decision {
	var copies []mail.ShownHeader
	if f := j.first; f != nil {
		if f.More {
			f.Look(j.start, true)
		}
		if f.Cut && cut || f.Deep {
			j.header.Defective(bytes.Count(j.header.Raw, mail.CRLF)+1, false)
		}
		copies = f.Found
	}
	return j.policy.inspect(&j.envelope, j.header, copies, j.start)
}

// hasCopies reports whether each of several recipients is to get a copy.
func (j *Judge) hasCopies() bool {
	return j.verdict.Action == Individual && len(j.envelope.Recipients) > 1
}

// Bare says that a CR or LF stands alone in the rest of the body. Whoever cuts a
// message off the wire has seen that: to look for it in each piece would cost as
// much as to read a text. From here on the judge looks where it stands; where no more
// of the body is wanted, the message is refused at once.
func (j *Judge) Bare() Next {
	if j.lines.look = true; j.next == Pass {
		j.refuse(ReasonBareNewline)
	}
	return j.next
}

// refuse refuses a message that might have gone out so far.
func (j *Judge) refuse(r Reason) {
	if j.next != Refuse {
		j.verdict = j.verdict.refusedFor(r)
		j.next = Refuse
	}
}

// End says that the message has ended, and returns the verdict.
func (j *Judge) End() Verdict {
	if j.ended {
		return j.verdict
	}
	j.ended = true
	bare := j.lines.inCR
	if j.next == More {
		j.decide(false, nil)
	}
	j.heard(nil, bare)
	if j.walk != nil {
		j.walk.Close()
		j.heard(nil, false) // in a line or a header that the end cut short
	}
	if j.counter != nil && (j.next != Refuse || j.envelope.Measure) {
		j.judgeBody(j.inBody())
	}
	if j.next == Hold {
		j.carry(j.rest)
	}
	return j.verdict
}

// carry puts the bytes that go on into the verdict, where they are others than
// came: of the body, what came before the verdict.
func (j *Judge) carry(rest []byte) {
	v := &j.verdict
	switch {
	case v.Refused():
	case j.decision.alone:
		v.Rewritten = true
		v.copies = j.decision.copier(rest)
		if len(j.envelope.Recipients) == 1 {
			v.Header, v.Body = v.CopyFor(j.envelope.Recipients[0])
		}
	default:
		v.Header, v.Body, v.Rewritten = j.decision.apply(rest)
	}
	if j.print != nil {
		v.Identity = j.print.Identity()
	}
}

// Next is what is wanted now.
func (j *Judge) Next() Next { return j.next }

// Verdict returns what was decided. End may still return another one.
func (j *Judge) Verdict() Verdict { return j.verdict }

// Close ends the judge, whether the message has ended or not, and whatever it was
// doing.
func (j *Judge) Close() {
	if j.counter != nil {
		j.counter.Close()
	}
	j.ended = true
	j.start, j.rest, j.decision = nil, nil, nil
}
