package main

import (
	"bytes"
	"slices"
)

// A class is one change of what counts: a cause that stands in a message, and makes
// the versions differ. mend returns the message without it: what it does not touch
// is no cause of this class. A difference belongs to a class where undoing its cause
// makes the versions agree.
type class struct {
	name string
	mend func(message) message

	// wholeHeader says that the cause is no value of a field that shows addresses.
	wholeHeader bool
	// sameHeader says that it is a cause only where the versions agree about the header.
	sameHeader bool
}

// explain returns the classes whose causes have to be undone, all of them, before
// the versions agree about a message. There are none where that cannot be had.
func explain(p *pair, m message) []string {
	m = unwrapped(p, m)
	classes := headerClasses
	switch {
	case p.values:
		classes = slices.DeleteFunc(slices.Clone(headerClasses), func(c class) bool { return c.wholeHeader })
	case p.bodies:
		classes = slices.Concat(headerClasses, bodyClasses)
	}
	for _, c := range slices.Backward(classes) { // the usual ones of bodies stand last
		if c.explains(p, m) {
			return []string{c.name}
		}
	}
	all := slices.Clone(classes)
	if !p.agree(mended(p, m, all)) {
		return nil
	}
	for i := 0; i < len(all); { // what is not needed goes
		less := slices.Delete(slices.Clone(all), i, i+1)
		if p.agree(mended(p, m, less)) {
			all = less
		} else {
			i++
		}
	}
	var names []string
	for _, c := range all {
		names = append(names, c.name)
	}
	return names
}

// explains reports whether this cause alone makes the versions differ.
func (c class) explains(p *pair, m message) bool {
	return !same(c.mend(m), m) && (!c.sameHeader || p.agreeOnHeader(m)) && p.agree(mended(p, m, []class{c}))
}

// mended undoes the causes of several classes, until none is left: what one undoes
// may uncover another one.
func mended(p *pair, m message, all []class) message {
	for range maxRounds {
		last := m
		for _, c := range all {
			if !c.sameHeader || p.agreeOnHeader(m) {
				m = c.mend(m)
			}
		}
		if same(m, last) {
			break
		}
		m = unwrapped(p, m)
	}
	return m
}

const maxRounds = 3

func same(a, b message) bool { return bytes.Equal(a.header, b.header) && bytes.Equal(a.body, b.body) }
