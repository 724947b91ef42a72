package mail

import "bytes"

// Marks stand wrongly beside an @: <ann>@example.org, ann "@example.org. Mail
// clients drop them, or show them, and the recipients read the address.

// keepsWord reports whether the mark at i stands wrongly between a word and the
// @ that follows.
func (s *scanner) keepsWord(i int) bool {
	if s.start == s.end {
		return false
	}
	next := i + 1
	for s.v[i] == ')' && next < len(s.v) && Class[s.v[next]] == ClassSpace {
		next++
	}
	switch {
	case next >= len(s.v) || s.v[next] != '@':
		return false
	case s.v[i] == ')':
		return true
	case s.v[i] == '"' && s.end != i: // unless it is a quoted word: Ann "@ann.example" Coe
		end, ok := s.dottedDomain(next + 1)
		return ok && (end == len(s.v) || s.v[end] != '"')
	case s.v[i] == '>' || s.v[i] == '"':
		return s.end == i
	}
	end, ok := s.dottedDomain(next + 1)
	return ok && s.end == i && s.end != s.routeEnd && !(s.v[i] == ':' && s.endsGroup(end))
}

// endsGroup reports the end of a group at i. That of undisclosed-recipients:;
// was completed by old gateways: <undisclosed-recipients:@host.example;>.
func (s *scanner) endsGroup(i int) bool {
	rest, ok := bytes.CutPrefix(s.v[i:], []byte(";"))
	rest = bytes.TrimLeft(rest, " \t\r\n")
	return ok && (len(rest) == 0 || rest[0] == '>' || rest[0] == ',')
}

// isWrongMark reports whether the character at i stands wrongly between an @
// and the domain that follows.
func (s *scanner) isWrongMark(i int) bool {
	if i == len(s.v) || bytes.IndexByte([]byte(",;:<>("), s.v[i]) < 0 {
		return false
	}
	_, ok := s.dottedDomain(i + 1)
	return ok
}

// dottedDomain returns the end of a domain at i that has a dot inside or is a
// literal, and is no part of a route (RFC 5322 section 4.4) or of the next address.
func (s *scanner) dottedDomain(i int) (end int, ok bool) {
	if i == len(s.v) || s.v[i] != '[' && !IsDomainByte(s.v[i]) {
		return i, false
	}
	end = s.atoms(i)
	if dot := bytes.IndexByte(bytes.TrimRight(s.v[i:end], "."), '.'); s.v[i] != '[' && dot < 1 {
		return end, false
	}
	rest := s.v[end:]
	return end, !bytes.HasPrefix(rest, []byte("@")) && !bytes.HasPrefix(rest, []byte(":")) && !bytes.HasPrefix(rest, []byte(",@"))
}
