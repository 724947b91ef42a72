package main

import "slices"

// shrunk returns the shortest message that is found in m and is put into the same
// classes: what of it matters to people who look for a cause.
func (f *fuzz) shrunk(m message, names []string) message {
	text := m.text()
	for size := len(text) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(text); {
			less := parse(slices.Concat(text[:at], text[at+size:]))
			if !isBare(less.text()) && !f.pair.agree(less) && slices.Equal(explain(f.pair, less), names) {
				text = less.text()
			} else {
				at += size
			}
		}
	}
	return parse(text)
}
