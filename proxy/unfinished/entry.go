package unfinished

import "time"

// An entry is a record, or a piece of one, as memory and file keep it.
type entry struct {
	until   time.Time
	members []member
}

// A member is a recipient that is still due, or has a copy.
type member struct {
	hash hash
	due  bool
}

func (e entry) size() int {
	if len(e.members) == 0 {
		return 0 // is not kept
	}
	return recordSize + len(e.members)
}

// changed is e with what a change does to the recipients that are in it.
func (e entry) changed(c wanted) entry {
	rest := entry{e.until, make([]member, 0, len(e.members))}
	for _, m := range e.members {
		want, named := c[m.hash]
		if named {
			delete(c, m.hash)
		}
		if want == wantGone || want == wantLeft && m.due {
			continue
		}
		m.due = m.due && want != wantServed
		rest.members = append(rest.members, m)
	}
	return rest
}

// wanted is a change by recipients: those that it has not come across yet.
type wanted map[hash]want

type want int

const (
	_ want = iota
	wantDue
	wantServed
	wantLeft
	wantGone
)

func (c change) wanted() wanted {
	all := wanted{}
	for want, hashes := range map[want][]hash{wantDue: c.due, wantServed: c.served, wantLeft: c.left, wantGone: c.gone} {
		for _, h := range hashes {
			all[h] = want
		}
	}
	return all
}

// added are the recipients of a change that a record lacked.
func (c change) added(rest wanted) (all []member) {
	for _, h := range c.served {
		if rest[h] == wantServed {
			all = append(all, member{hash: h})
		}
	}
	for _, h := range c.due {
		if rest[h] == wantDue {
			all = append(all, member{hash: h, due: true})
		}
	}
	return all
}
