package policy

import "maps"

// An Exposure is what a message shows: how many distinct addresses every
// recipient would see in its header, the sender's own left out.
type Exposure struct {
	Visible  int // all of them
	Internal int // inside the internal domains
	External int // the others
	// Organisations is how many organisations the external ones belong to.
	Organisations int
	Fields        []FieldCount
}

// A FieldCount is how many of the visible addresses a field shows that no
// field before it did; Fields adds up to Visible.
type FieldCount struct {
	Field string
	Count int
}

// showsAddresses lists the fields whose addresses count. From, Sender and
// Reply-To do only when they hold several: one is the sender's own.
var showsAddresses = [kindCount]bool{
	kindFrom:           true,
	kindSender:         true,
	kindReplyTo:        true,
	kindTo:             true,
	kindCc:             true,
	kindResentTo:       true,
	kindResentCc:       true,
	kindApparentlyTo:   true,
	kindMailFollowupTo: true,
	kindMailReplyTo:    true,
	kindBcc:            true,
	kindResentBcc:      true,
}

// expose counts the addresses that the fields of h show. Fields for which
// hidden is true are taken out before the message goes on.
func (p *Policy) expose(h *header, own *addressSet, hidden func(field) bool) Exposure {
	set := own.clone()
	orgs := organisations{p.personal, map[string]struct{}{}, map[string]struct{}{}}
	var e Exposure
	var counts [kindCount]int
	for _, f := range h.fields {
		if !showsAddresses[f.kind] || hidden(f) {
			continue
		}
		scanAddresses(h.body(f), func(local, domain []byte) {
			domain, added := set.add(local, domain)
			switch {
			case !added:
				return
			case p.internal.has(domain):
				e.Internal++
			default:
				e.External++
				if orgs.isNew(domain) {
					e.Organisations++
				}
			}
			e.Visible++
			counts[f.kind]++
		})
	}
	for kind, n := range counts {
		if n > 0 {
			e.Fields = append(e.Fields, FieldCount{fieldNames[kind], n})
		}
	}
	return e
}

// ownAddresses are the sender's own, which do not count.
func (h *header) ownAddresses(envelopeSender string) *addressSet {
	own := newAddressSet()
	own.addOwn(distinctAddresses([]byte(envelopeSender)))
	for _, kind := range []fieldKind{kindFrom, kindSender, kindReplyTo} {
		own.addOwn(distinctAddresses(h.bodies(kind)...))
	}
	return own
}

// An addressSet holds addresses as they are compared: normal local part, @,
// normal domain.
type addressSet struct {
	seen map[string]struct{}
	key  []byte // scratch
}

func newAddressSet() *addressSet {
	return &addressSet{seen: make(map[string]struct{}), key: make([]byte, 0, 128)}
}

func (s *addressSet) clone() *addressSet {
	return &addressSet{seen: maps.Clone(s.seen), key: make([]byte, 0, 128)}
}

func (s *addressSet) has(key []byte) bool {
	_, ok := s.seen[string(key)]
	return ok
}

// add puts an address into the set. It returns its normal domain, good until
// the next call, and whether the address is new to the set.
func (s *addressSet) add(local, domain []byte) (normal []byte, added bool) {
	s.key = append(normalLocal(s.key[:0], local), '@')
	at := len(s.key)
	s.key = normalDomain(s.key, domain)
	if _, ok := s.seen[string(s.key)]; ok {
		return nil, false
	}
	s.seen[string(s.key)] = struct{}{}
	return s.key[at:], true
}

// addOwn adds the sender's own address, which does not count: one that stands
// alone. Several are shown like any others.
func (s *addressSet) addOwn(addresses *addressSet) {
	if len(addresses.seen) == 1 {
		for a := range addresses.seen {
			s.seen[a] = struct{}{}
		}
	}
}

func distinctAddresses(values ...[]byte) *addressSet {
	set := newAddressSet()
	for _, v := range values {
		scanAddresses(v, func(local, domain []byte) { set.add(local, domain) })
	}
	return set
}
