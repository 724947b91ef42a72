package policy

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

// A Verdict is what is to be done with one message, and why.
type Verdict struct {
	Action   Action // what was decided
	Rule     string // the rule that decided
	Reason   Reason
	Exposure Exposure

	// Count and Limit belong to the limit that was exceeded, which CountOf
	// names, also where the Reason is that a rewrite was refused.
	Count   int
	Limit   Limit
	CountOf Counted
	// TooLarge says that an attachment is too large to be searched: Count is what was
	// found of it.
	TooLarge bool
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

	// Rewritten says that other bytes go on than came: Header, and Body for what of
	// it was fed before the verdict. Both are nil where the message HasCopies.
	Header, Body []byte
	Rewritten    bool

	copies   *copier
	Identity Identity // of a message that HasCopies
}

// Refused reports whether the message must not go out.
func (v *Verdict) Refused() bool { return v.Action == Reject }

// refusedFor is the verdict for a message that may go out by its header, but
// not for what its body shows.
func (v Verdict) refusedFor(r Reason) Verdict {
	v.Action, v.Reason, v.Header, v.Body, v.Rewritten, v.copies, v.Concealed = Reject, r, nil, nil, false, nil, 0
	return v
}
