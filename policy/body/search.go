package body

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"sendguard/policy/mail"
)

// scanText calls emit for what people write as an address in running text: a
// local part, an @ and a domain with a dot in it, with nothing between. It is
// stricter than mail.ScanAddresses, since text holds more that looks like one. Not
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
	if !mail.IsASCII(token) {
		if i := bytes.LastIndexFunc(token, func(r rune) bool { return mail.IsForeignPunct(r) && !unicode.Is(unicode.Cf, r) }); i >= 0 {
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
	for end < len(v) && mail.IsDomainByte(v[end]) {
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
