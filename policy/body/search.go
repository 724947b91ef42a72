package body

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"sendguard/policy/mail"
)

// search calls emit for what people write as an address in running text: a local
// part, an @ and a domain, with nothing between. bare says that it is a word and
// nothing else, not in angle brackets nor behind mailto:. It is stricter than
// mail.ScanAddresses, since text holds more that looks like one. Not addresses are
// what stands in a URL ("ssh://git@example.org", or a page whose address has an @
// in it), the name of an embedded picture ("cid:1@2.3"), of a repository
// ("git@host:path") or an account ("@ann@host"), and an @ with blanks round it.
func search(v []byte, emit func(local, domain []byte, bare bool)) {
	inURL, account := false, false
	for pos := 0; ; {
		n := bytes.IndexByte(v[pos:], '@')
		if n < 0 {
			return
		}
		at := pos + n
		start := wordStart(v, pos, at)
		goesOn := start == pos && pos > 0 // with the word that the last @ stands in
		token := v[start:at]
		inURL = inURL && goesOn || isURL(token)
		local := localEnd(token)
		if start == at && at > pos && v[at-1] == '"' {
			local = quotedLocal(v[pos:at])
		}
		domain := textDomain(v[at+1:])
		before, after := v[:at-len(local)], v[at+1+len(domain):]
		if len(local) > 0 && len(domain) > 0 && !inURL && !(account && goesOn) && !isReference(before) && !isRepository(local, after) {
			emit(local, domain, !isDotted(domain) || !isMarked(before, after))
		}
		account = len(token) == 0 && !goesOn
		pos = at + 1
	}
}

// ends are the bytes that end a word in text: no local part has one unless it is
// quoted.
var ends = func() [256]bool {
	t := bytesOf(textDelimiters)
	for c := range ' ' {
		t[c] = true
	}
	return t
}()

const textDelimiters = " \t\r\n\f\v<>\"(),;|[]\\\x7f"

// wordStart returns where the word before at starts, at pos at the earliest.
func wordStart(v []byte, pos, at int) int {
	for at > pos && !ends[v[at-1]] {
		at--
	}
	return at
}

// isURL reports a word with a URL in it, with its scheme or without. mailto: is none,
// nor mailto://, whatever the local part is.
func isURL(token []byte) bool {
	if len(token) > len("mailto:") && bytes.EqualFold(token[:len("mailto:")], []byte("mailto:")) {
		return false
	}
	if scheme, _, found := bytes.Cut(token, []byte("://")); found {
		return !hasSuffixFold(scheme, "mailto")
	}
	bare := bytes.TrimLeft(token, "'`*=_{")
	return len(bare) > 4 && bytes.EqualFold(bare[:4], []byte("www.")) && bytes.IndexByte(bare, '/') > 0 || bytes.HasSuffix(token, []byte("/"))
}

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
	for len(token) > 0 && opens[token[0]] {
		token = token[1:]
	}
	return bytes.TrimPrefix(token, []byte("mail=")) // in the names of a directory (LDIF)
}

// opens are the bytes that stand before a local part and do not belong to it.
var opens = bytesOf("'`*=/&?#!~^.{}")

func bytesOf(list string) (t [256]bool) {
	for _, c := range []byte(list) {
		t[c] = true
	}
	return t
}

// quotedLocal returns the quoted local part at the end of v, or nil. Its first quote
// mark begins a word: in "a":"@b" of JSON, none does.
func quotedLocal(v []byte) []byte {
	start := bytes.LastIndexByte(v[:len(v)-1], '"')
	if start < 0 || start >= len(v)-2 || start > 0 && !ends[v[start-1]] && v[start-1] != ':' {
		return nil
	}
	return v[start:]
}

// isReference reports what stands before the name of a part or a message (RFC 2392).
func isReference(before []byte) bool {
	return hasSuffixFold(before, "cid:") || hasSuffixFold(before, "mid:")
}

// isRepository reports git@host:path. With another local part, what follows the
// colon is somebody's password, more likely.
func isRepository(local, after []byte) bool {
	return len(after) > 1 && after[0] == ':' && !ends[after[1]] && bytes.EqualFold(local, []byte("git"))
}

// isMarked reports an address in angle brackets or behind mailto: whoever wrote
// these meant an address, whatever its domain.
func isMarked(before, after []byte) bool {
	bare := bytes.TrimSuffix(before, []byte("//"))
	return hasSuffixFold(bare, "mailto:") || bytes.HasSuffix(before, []byte("<")) && bytes.HasPrefix(after, []byte(">"))
}

// isDotted reports a name with a dot in it, or a literal. Those of East Asia are dots,
// too (UTS 46).
func isDotted(domain []byte) bool {
	return bytes.ContainsAny(domain, ".[。．｡")
}

func hasSuffixFold(v []byte, suffix string) bool {
	n := len(v) - len(suffix)
	return n >= 0 && bytes.EqualFold(v[n:], []byte(suffix))
}

// textDomain returns the domain at the start of v, or nil where there is none: a
// name, or an address literal.
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
	if len(domain) == 0 || domain[0] == '.' {
		return nil
	}
	return domain
}

// maxLiteral is more than the longest address literal (RFC 5321 section 4.1.3).
const maxLiteral = 64
