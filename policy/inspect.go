package policy

import (
	"bytes"
	"hash/maphash"
	"unicode"
	"unicode/utf8"
)

// MaxInBody is the highest limit for the addresses that a body may show: a
// BodyScanner counts no further than one more.
const MaxInBody = 1 << 17

// A BodyScanner counts the distinct addresses that the body of a message
// shows: in its text, and in the lists and messages that are attached to it.
// The body streams through it, in pieces of any size. It holds a bounded
// amount of memory whatever the message, see Memory. What it can no longer
// follow within that counts as too many, never as none.
//
// The sender's own addresses do not count, nor does the quoted message below
// a reply (see replyFilter), nor what has the form of an address and is none
// (see scanText).
type BodyScanner struct {
	own     *addressSet
	found   hashSet
	key     []byte // of the address at hand
	top     *partReader
	readers int  // that are open, one inside of the other
	beyond  bool // something was nested too deeply to be followed
	closed  bool
}

// NewBodyScanner takes the header of a message, without dot-stuffing and with
// the empty line that ends it, and the envelope's sender. stuffed says that
// the pieces come as they do on the wire (RFC 5321 section 4.5.2).
func NewBodyScanner(header []byte, sender string, stuffed bool) *BodyScanner {
	h := parseHeader(header)
	s := &BodyScanner{own: h.ownAddresses(sender)}
	s.top = newPartReader(s, false)
	s.top.Write(header)
	s.top.stuffed = stuffed
	return s
}

// Write takes the next piece of the body.
func (s *BodyScanner) Write(piece []byte) { s.top.Write(piece) }

// Close says that the body has ended.
func (s *BodyScanner) Close() {
	if !s.closed {
		s.closed = true
		s.top.Close()
	}
}

// Count returns how many distinct addresses the body has shown so far, or
// MaxInBody+1 where that are too many to be counted. It never falls.
func (s *BodyScanner) Count() int {
	if s.beyond {
		return MaxInBody + 1
	}
	return s.found.n
}

// Memory returns how many bytes the scanner may hold at this moment.
func (s *BodyScanner) Memory() int { return s.readers*readerMemory + s.found.memory() }

// hash returns what an address is remembered by. It is zero for the sender's
// own addresses.
func (s *BodyScanner) hash(local, domain []byte) uint64 {
	s.key = append(normalLocal(s.key[:0], local), '@')
	s.key = normalDomain(s.key, domain)
	if s.own.has(s.key) {
		return 0
	}
	return max(maphash.Bytes(hashSeed, s.key), 1)
}

// A hashSet is a set of addresses by their hashes, none of which is zero. With
// 64 bits, two of MaxInBody addresses are taken for one in a message of four
// thousand million.
type hashSet struct {
	table []uint64 // open addressing
	n     int      // at most MaxInBody+1
}

func (s *hashSet) add(hash uint64) {
	if s.n > MaxInBody {
		return
	}
	if 2*s.n >= len(s.table) {
		old := s.table
		s.table = make([]uint64, max(64, 2*len(old)))
		for _, h := range old {
			if h != 0 {
				s.table[s.find(h)] = h
			}
		}
	}
	if place := s.find(hash); s.table[place] == 0 {
		s.table[place] = hash
		s.n++
	}
}

// find returns the place of a hash in the table, or the one where it would be.
func (s *hashSet) find(hash uint64) int {
	mask := len(s.table) - 1
	place := int(hash) & mask
	for s.table[place] != 0 && s.table[place] != hash {
		place = (place + 1) & mask
	}
	return place
}

func (s *hashSet) memory() int { return 8 * len(s.table) }

// A bodyLimit is what a verdict on a header leaves for the body to decide.
type bodyLimit struct {
	limit  Limit
	action Action
	tagged bool // an override tag may be meant for the body
}

// leftToBody says what the body may still change about a verdict: nothing where
// the header is over a limit already, unless that was mended.
func (d *decision) leftToBody(v *Verdict) bodyLimit {
	if d.rule.action == Allow || v.Refused() || v.Action == Report || v.Action == Override {
		return bodyLimit{limit: Unlimited}
	}
	return bodyLimit{d.rule.body, d.rule.action, d.rule.override && d.rule.body != Unlimited && d.outer.hasTag()}
}

// hasTag reports an override tag in the Subject, whatever its number.
func (h *header) hasTag() bool {
	_, number, _ := h.override(-1)
	return number >= 0
}

// InspectsBody reports whether the message can still be over a limit by what
// its body shows. Its body is then to be counted, and WithBody to decide.
func (v *Verdict) InspectsBody() bool { return v.body.limit != Unlimited }

// AwaitsBody reports whether only the whole body can decide: the header has an
// override tag, and the number in it may turn out to be that of the body. The
// header that WithBody returns is then without the tag; where the header has
// to go out before the body was counted, the tag stays in it.
func (v *Verdict) AwaitsBody() bool { return v.body.tagged }

// StopsAt reports whether a message will be refused that shows n addresses in
// its body so far, whatever follows.
func (v *Verdict) StopsAt(n int) bool {
	return v.body.limit.exceededBy(n) && v.body.action != Report && !v.AwaitsBody()
}

// WithBody is the verdict when the whole body has shown n addresses. A body is
// never rewritten: where the action calls for that, the message is refused.
func (v Verdict) WithBody(n int) Verdict {
	v.Exposure.Body = n
	switch {
	case v.body.limit.exceededBy(n):
	case v.AwaitsBody() && v.Claimed >= 0: // the tag is for neither header nor body
		return v.RefusedFor(v.Reason)
	default:
		return v
	}
	v.Reason, v.CountOf, v.Count, v.Limit = ReasonTooManyInBody, ReasonTooManyInBody, n, v.body.limit
	if v.AwaitsBody() {
		found, wrong := v.overrides(n)
		if found {
			v.Action, v.Claimed = Override, -1
			return v
		}
		v.Claimed = wrong
	}
	if v.body.action == Report {
		v.Action, v.Claimed = Report, -1
		return v
	}
	return v.RefusedFor(ReasonTooManyInBody)
}

// overrides looks for an override tag with the number n, and takes it out, of
// copies of the header too. The copies of a message stay copies: each shows its
// recipient alone.
func (v *Verdict) overrides(n int) (found bool, wrong int) {
	if v.copies != nil {
		return v.copies.overrides(n)
	}
	d := (&Message{Header: v.Header, Body: v.Body}).takeApart()
	found, wrong, e := d.override(n)
	if e != nil {
		v.Header, v.Body, _ = d.apply(e)
		v.Rewritten = true
	}
	return found, wrong
}

// scanText calls emit for what people write as an address in running text: a
// local part, an @ and a domain with a dot in it, with nothing between. It is
// stricter than scanAddresses, since text holds more that looks like one. Not
// addresses are what stands in a URL ("ssh://git@example.org", or a page whose
// address has an @ in it), the name of an embedded picture ("cid:1@2.3"), a
// version ("package@1.2.3"), and an @ with blanks round it.
func scanText(v []byte, emit func(local, domain []byte)) {
	inURL := false
	for pos := 0; ; {
		n := bytes.IndexByte(v[pos:], '@')
		if n < 0 {
			return
		}
		at := pos + n
		start := bytes.LastIndexAny(v[pos:at], textDelimiters) + 1
		token := v[pos+start : at]
		inURL = inURL && start == 0 || bytes.Contains(token, []byte("://"))
		local := localEnd(token)
		if bytes.HasSuffix(token, []byte(`"`)) || pos+start == at && at > 0 && v[at-1] == '"' {
			local = quotedLocal(v[pos:at])
		}
		domain := textDomain(v[at+1:])
		if len(local) > 0 && domain != nil && !inURL && !isReference(token[:len(token)-min(len(local), len(token))]) {
			emit(local, domain)
		}
		pos = at + 1
	}
}

// textDelimiters end a word in text. No local part has one unless it is quoted.
const textDelimiters = " \t\r\n\f\v<>\"(),;|[]\\"

// localEnd returns what may be a local part at the end of a word, without what
// stands before it: mailto:, an opening quote mark, a star for bold letters, a
// no-break space.
func localEnd(token []byte) []byte {
	token = token[bytes.LastIndexByte(token, ':')+1:]
	if !isASCII(token) {
		if i := bytes.LastIndexFunc(token, func(r rune) bool { return isForeignPunct(r) && !unicode.Is(unicode.Cf, r) }); i >= 0 {
			_, size := utf8.DecodeRune(token[i:])
			token = token[i+size:]
		}
	}
	return bytes.TrimLeft(token, "'`*=/&?#!~^.{}")
}

// quotedLocal returns the quoted local part at the end of v, or nil.
func quotedLocal(v []byte) []byte {
	if start := bytes.LastIndexByte(v[:len(v)-1], '"'); start >= 0 && start < len(v)-2 {
		return v[start:]
	}
	return nil
}

// isReference reports what stands before the name of a part or a message
// (RFC 2392).
func isReference(before []byte) bool {
	n := len(before) - len("cid:")
	return n >= 0 && (bytes.EqualFold(before[n:], []byte("cid:")) || bytes.EqualFold(before[n:], []byte("mid:")))
}

// textDomain returns the domain at the start of v, or nil where there is none:
// a dotted name whose last label is no number, or an address literal.
func textDomain(v []byte) []byte {
	if len(v) > 0 && v[0] == '[' {
		if end := bytes.IndexByte(v[:min(len(v), maxLiteral)], ']'); end > 1 {
			return v[:end+1]
		}
		return nil
	}
	end := 0
	for end < len(v) && isDomainByte(v[end]) {
		end++
	}
	domain := bytes.TrimRight(v[:end], ".-_")
	dot := bytes.LastIndexByte(domain, '.')
	switch {
	case dot < 0 && bytes.Contains(domain, []byte("。")): // IDEOGRAPHIC FULL STOP is one, too (UTS 46)
		return domain
	case dot < 1 || '0' <= domain[dot+1] && domain[dot+1] <= '9':
		return nil
	}
	return domain
}

// maxLiteral is more than the longest address literal (RFC 5321 section 4.1.3).
const maxLiteral = 64
