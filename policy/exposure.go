package policy

import (
	"slices"

	"sendguard/policy/body"
	"sendguard/policy/mail"
)

// An Exposure is what a message shows: how many distinct addresses every
// recipient would see in its header, the sender's own left out.
type Exposure struct {
	Visible  int // all of them
	Internal int // inside the internal domains
	External int // the others
	// Organisations is how many organisations the external ones belong to. They
	// are counted where a limit or the message asks for it.
	Organisations int
	Fields        []FieldCount
	Body          int // distinct addresses in the body, where they were counted
	Containers    Containers
}

// Containers are what was in the archives, compressed files, spreadsheets and documents
// of a message: how many there were, what of them was not read, and how many distinct
// addresses of the body they show.
type Containers = body.Containers

// A FieldCount is how many of the visible addresses a field shows that no
// field before it did; Fields adds up to Visible.
type FieldCount struct {
	Field string
	Count int
}

// Shown is where addresses are shown: the Fields, and "Body".
func (e *Exposure) Shown() []FieldCount {
	if e.Body == 0 {
		return e.Fields
	}
	return append(slices.Clip(e.Fields), FieldCount{"Body", e.Body})
}

// expose counts the addresses that would be shown if the message went on with
// these headers, by their fields that are not taken out, less the sender's own.
func (d *decision) expose(headers []mail.ShownHeader, own *mail.AddressSet) Exposure {
	set := own.Clone()
	var orgs organisations
	countOrganisations := d.organisations || d.envelope.Measure
	if countOrganisations {
		orgs = newOrganisations(d.personal)
	}
	var e Exposure
	var counts [mail.Kinds]int
	count := func(kind mail.Kind, value []byte) {
		mail.ScanAddresses(value, func(local, domain []byte) {
			domain, added := set.Add(local, domain)
			switch {
			case !added:
				return
			case d.internal.Has(domain):
				e.Internal++
			default:
				e.External++
				if countOrganisations && orgs.isNew(domain) {
					e.Organisations++
				}
			}
			e.Visible++
			counts[kind]++
		})
	}
	for n := range headers {
		h := &headers[n]
		for _, f := range h.Fields {
			if mail.HoldsAddresses[f.Kind] && !d.takesOut(h, f) {
				count(f.Kind, h.Value(f))
			}
		}
	}
	for kind, n := range counts {
		if n > 0 {
			e.Fields = append(e.Fields, FieldCount{mail.FieldNames[kind], n})
		}
	}
	return e
}

// ownAddresses are the sender's own, which do not count: of the envelope, and
// of each of these fields where it holds one address alone. Several are shown
// like any others.
func ownAddresses(h *mail.Header, envelopeSender string) *mail.AddressSet {
	own, alone := mail.NewAddressSet(), mail.NewAddressSet()
	own.AddPath(envelopeSender)
	for kind := mail.From; kind <= mail.ReplyTo; kind++ { // From, Sender, Reply-To
		alone.Reset()
		for _, f := range h.Fields {
			if f.Kind == kind {
				alone.Scan(h.Value(f))
			}
		}
		own.AddOnly(alone)
	}
	return own
}
