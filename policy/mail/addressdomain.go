package mail

import "bytes"

// domain returns where the domain that starts at i ends: an address literal,
// or a dotted name, with comments and white space round its dots (obs-domain,
// RFC 5322 section 4.4). A dot that follows the name at once and then white
// space ends a sentence, more likely, where it is in a name: there the domain
// ends at short.
func (s *scanner) domain(i int) (end, short int) {
	end = s.atoms(i)
	short = -1
	for end > i && !s.text && end < len(s.v) && (Class[s.v[end]] == ClassSpace || s.v[end] == '(') {
		next, over := s.skipCFWS(end), false
		switch {
		case next < len(s.v) && s.v[next] == '.':
			next = s.skipCFWS(next + 1)
		case s.v[end-1] == '.' && next > end:
			over = s.v[end] != '('
		default:
			next = len(s.v)
		}
		if next == len(s.v) || !IsDomainByte(s.v[next]) {
			break
		}
		after := s.atoms(next)
		if over = over || short >= 0; over && s.beginsAddress(after) {
			if short >= 0 {
				end = short // it may begin further in front: a@mail. b .c@mail
			}
			break
		}
		if over && short < 0 {
			short = end
		}
		end = after
	}
	if short < 0 {
		short = end
	}
	return end, short
}

// beginsAddress reports whether the word that ends at i, or goes on there, is no
// part of the domain before it: a@x.example. b@y.example, a@x.example. o'neil@y.example.
func (s *scanner) beginsAddress(i int) bool {
	if i < len(s.v) && (Class[s.v[i]] == classWord || Class[s.v[i]] == classQuote) {
		return true
	}
	i = s.skipCFWS(i)
	if i < len(s.v) && s.v[i] != '@' && Class[s.v[i]] != classWord { // a mark that stands wrongly before it
		i = s.skipCFWS(i + 1)
	}
	return i < len(s.v) && s.v[i] == '@'
}

// atoms returns where a domain without comments or white space ends.
func (s *scanner) atoms(i int) int {
	end, v := i, s.v
	for end < len(v) && domainBytes[v[end]] {
		end++
	}
	if end > i || end == len(s.v) {
		return end
	}
	switch s.v[i] {
	case '[':
		if n := bytes.IndexAny(s.v[i:], "]<>,;\"@"); n > 1 && s.v[i+n] == ']' {
			return i + n + 1
		}
	case '"': // ann@"example.org"
		if s.noQuote || s.text {
			break
		}
		if closed, ok := Closing(s.v, i); ok && closed > i+2 {
			s.scanText(s.v[i+1 : closed-1])
			return closed
		}
	}
	for end < len(s.v) && Class[s.v[end]] == classWord { // whatever is there
		end++
	}
	return end
}

// IsDomainByte reports what a domain name may hold, U-labels included
// (RFC 6531 section 3.3), and the underscore of names that are not hosts'.
func IsDomainByte(c byte) bool { return domainBytes[c] }

var domainBytes = func() (t [256]bool) {
	for n := range t {
		c := byte(n)
		t[n] = c >= 0x80 || c == '.' || c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
	}
	return t
}()

// skipCFWS returns the place after the white space and comments at i, having
// read what the comments hold.
func (s *scanner) skipCFWS(i int) int {
	for i < len(s.v) {
		switch Class[s.v[i]] {
		case ClassSpace:
			i++
		case classOpen:
			end, ok := s.closeComment(i)
			if !ok {
				return i
			}
			s.scanText(s.v[i+1 : end-1])
			i = end
		default:
			return i
		}
	}
	return i
}

// skipStray returns the place after white space, comments, and marks that stand
// wrongly between an @ and its domain: ann@)"example.org.
func (s *scanner) skipStray(i int) int {
	for i == len(s.v) || !domainBytes[s.v[i]] {
		i = s.skipCFWS(i)
		switch {
		case i == len(s.v):
			return i
		case s.v[i] == '"' && !s.noQuote && !s.text:
			end, ok := Closing(s.v, i)
			switch {
			case !ok:
				s.noQuote = true
			case end > i+2: // a quoted domain
				return i
			default:
				i = end - 1
			}
		case s.v[i] != '"' && s.v[i] != ')':
			return i
		}
		i++
	}
	return i
}

// closeComment returns where the comment at i ends, if it does.
func (s *scanner) closeComment(i int) (end int, ok bool) {
	if s.openCount > MaxOpenComments || s.text {
		return 0, false
	}
	if end, ok = Closing(s.v, i); !ok {
		s.openCount++
	}
	return end, ok
}
