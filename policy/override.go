package policy

import "sendguard/policy/mail"

// maxSubject is how long a Subject may be for a tag to be looked for in it.
// Taking one apart costs a multiple of its length in memory.
const maxSubject = 64 << 10

// findTag looks for the tag with the wanted number in the Subjects of h.
// Where there are only others, wrong is the first of their numbers; it is -1
// where there is none. Where there is the wanted one, the cuts take it out.
func findTag(h *mail.Header, wanted int) (found bool, wrong int, cuts []cut) {
	wrong = -1
	for _, f := range h.Fields {
		if f.Kind != mail.Subject || f.End-f.Value > maxSubject {
			continue
		}
		s := parseSubject(h.Value(f))
		here := false
		for _, t := range s.tags() {
			if t.number == wanted {
				here = true
			} else if wrong < 0 {
				wrong = t.number
			}
		}
		if here {
			found = true
			cuts = append(cuts, cut{start: f.Value, end: f.End, with: withoutTags(h.Value(f), wanted)})
		}
	}
	return found, wrong, cuts
}

// override looks for the tag with the wanted number in the message's Subject.
// The edits take it out, of copies too; there are none where the message must
// stay as it is.
func (d *decision) override(wanted int) (found bool, wrong int, e edits) {
	found, wrong, cuts := findTag(d.outer, wanted)
	if !found || d.signed[mail.Subject] {
		return found, wrong, nil
	}
	e = make(edits, len(d.headers))
	e[0] = cuts
	for n := 1; n < len(d.headers); n++ {
		switch h := &d.headers[n]; {
		case !h.Frozen:
			_, _, e[n] = findTag(&h.Header, wanted)
		case h.Has(mail.Subject):
			return found, wrong, nil
		}
	}
	return found, wrong, e
}
