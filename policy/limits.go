package policy

import (
	"fmt"

	"sendguard/policy/body"
)

// A Limit is how many addresses may be shown, or Unlimited.
type Limit int

// Unlimited is no limit. Zero is one: nothing may be shown.
const Unlimited Limit = -1

func (l Limit) exceededBy(n int) bool { return l != Unlimited && n > int(l) }

// A Counted is something that a limit counts: a row of the table of limits.
type Counted uint8

// The rows stand in the order in which limits are named: the first one that is
// exceeded gives the reason.
const (
	External      Counted = iota // outside addresses
	Organisations                // of outside addresses
	Total                        // all addresses
	InBody                       // addresses in the body, where they are looked for
	CountedKinds
)

// Limits are one for each row.
type Limits [CountedKinds]Limit

// MaxInBody is the highest limit for the addresses that a body may show.
const MaxInBody = body.MaxCount

// NoLimits are none at all.
func NoLimits() (l Limits) {
	for c := range l {
		l[c] = Unlimited
	}
	return l
}

// limitTable is all that is said of a limit anywhere.
var limitTable = [CountedKinds]struct {
	key    string // in the configuration
	reason Reason // where it is exceeded
	count  func(*Exposure) int
	most   int // the highest limit that can be exceeded; 0: there is none

	// The words of a refusal: what is shown, with the number, what is counted and
	// the limit; what is counted, where there is an inside and where there is
	// none; and what the sender can do.
	shows, inside, noInside, advice string
}{
	External: {"external", ReasonTooManyExternal, func(e *Exposure) int { return e.External }, 0,
		inHeader, "outside addresses", "addresses", toBcc},
	Organisations: {"organisations", ReasonTooManyOrganisations, func(e *Exposure) int { return e.Organisations }, 0,
		inHeader, "organisations", "organisations", toBcc},
	Total: {"total", ReasonTooManyTotal, func(e *Exposure) int { return e.Visible }, 0,
		inHeader, "addresses", "addresses", toBcc},
	InBody: {"body", ReasonTooManyInBody, func(e *Exposure) int { return e.Body }, MaxInBody,
		"its text and attachments show %d %s (limit %d)", "addresses", "addresses", "Take them out"},
}

const (
	inHeader = "every recipient would see %d %s (limit %d)"
	toBcc    = "Move them to Bcc"
)

// Key is what the configuration calls the limit.
func (c Counted) Key() string { return limitTable[c].key }

// CountedOf finds the row of a key.
func CountedOf(key string) (c Counted, ok bool) {
	for c, row := range limitTable {
		if row.key == key {
			return Counted(c), true
		}
	}
	return 0, false
}

// Refusal says of a verdict about a limit what the message shows, and what the
// sender can do about it.
func (v *Verdict) Refusal() (shows, advice string) {
	if v.TooLarge {
		return fmt.Sprintf("an attachment is too large to be searched for addresses (at least %d found)", v.Count), "Take it out"
	}
	row := &limitTable[v.CountOf]
	counted := row.noInside
	if v.Outside {
		counted = row.inside
	}
	return fmt.Sprintf(row.shows, v.Count, counted, v.Limit), row.advice
}

// over notes in a verdict that a limit is exceeded.
func (v *Verdict) over(c Counted, limit Limit) {
	row := &limitTable[c]
	v.CountOf, v.Reason, v.Count, v.Limit = c, row.reason, row.count(&v.Exposure), limit
}

// overInBody notes in a verdict that the body is over its limit, or that it has an
// attachment that is too large to be searched.
func (v *Verdict) overInBody(limit Limit, tooLarge bool) {
	v.over(InBody, limit)
	v.TooLarge = tooLarge
}

// exceeded names the first limit that an exposure exceeds.
func (l *Limits) exceeded(e *Exposure) (c Counted, over bool) {
	for c, row := range limitTable {
		if l[c].exceededBy(row.count(e)) {
			return Counted(c), true
		}
	}
	return 0, false
}

// check reports limits that make no sense.
func (l *Limits) check() error {
	for c, row := range limitTable {
		switch most := row.most; {
		case l[c] < Unlimited:
			return fmt.Errorf("limits: %d is less than zero", l[c])
		case most > 0 && int(l[c]) > most:
			return fmt.Errorf("limits.%s: %d is more than %d", row.key, l[c], most)
		}
	}
	return nil
}
