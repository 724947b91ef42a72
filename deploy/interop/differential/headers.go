package main

import (
	"bytes"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// charsetLabels gives charsets the names that both versions know.
func charsetLabels(m message) message {
	label := func(charset string, text []byte) (string, []byte) {
		key := strings.TrimPrefix(strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(charset)), "x")
		if known := knownAs[key]; known != "" && !strings.EqualFold(known, charset) {
			return known, text
		}
		return charset, text
	}
	m = inFields(func(value []byte) []byte { return inWords(value, label) })(m)
	instead := func(text []byte) []byte {
		return charsetParameter.ReplaceAllFunc(text, func(p []byte) []byte {
			parts := charsetParameter.FindSubmatch(p)
			known, _ := label(string(parts[2]), nil)
			return append(append([]byte{}, parts[1]...), known...)
		})
	}
	return message{instead(m.header), instead(m.body)}
}

var charsetParameter = regexp.MustCompile(`(?i)(charset="?)([\w.-]+)`)

// knownAs are labels of Windows code pages, Java, PHP and the Mac, without hyphens and
// a leading x.
var knownAs = map[string]string{}

func init() {
	for known, names := range map[string]string{
		"shift_jis": "cp932 ms932 mscp932 windows932 cswindows31j sjis sjiswin sjisms sjisopen shiftjis shiftjisms mskanji cp942 cp943 ibm943 macjapanese shiftjis2004 shiftjisx0213",
		"euc-jp":    "eucjp eucjpwin eucjpms eucjpopen ujis euc cp20932 cp51932", "iso-2022-jp": "iso2022jp iso2022jpms iso2022jp1 iso2022jp2 iso2022jp3 cp50220 cp50221 cp50222 mscp50220 windowsiso2022jp jis jis7 junet",
		"euc-kr": "cp949 ms949 mscp949 windows949 uhc euckr mackorean", "big5": "cp950 ms950 mscp950 windows950 big5 big5hkscs ms950hkscs hkscs cp951 big5eten macchinesetrad ibm950 cnbig5",
		"gbk": "cp936 ms936 mscp936 mswin936 windows936 gb2312 gb231280 euccn cngb macchinesesimp", "gb18030": "gb18030 cp54936", "hz-gb-2312": "hz hzgb2312", "utf-7": "utf7 cp65000",
	} {
		for name := range strings.FieldsSeq(names) {
			knownAs[name] = known
		}
	}
}

// secondBytes takes the @ out of characters of two bytes: in ISO 2022 all that stands
// between its escapes, else the byte behind one above 0x80 that is no UTF-8.
func secondBytes(m message) message {
	return inFields(func(value []byte) []byte {
		value = inWords(value, func(charset string, text []byte) (string, []byte) {
			return charset, highAts(withoutShifts(text))
		})
		return highAts(withoutShifts(value))
	})(m)
}

func withoutShifts(text []byte) []byte {
	if bytes.IndexByte(text, 0x1b) < 0 {
		return text
	}
	text = shifted.ReplaceAll(text, []byte("x"))
	return shifts.ReplaceAll(text, nil)
}

var (
	shifted = regexp.MustCompile(`(?:\x1b\$[@BA]|\x1b\$\([CD]|\x1b\(I|\x0e)[!-~]+(?:\x1b\([BJH]|\x0f)`)
	shifts  = regexp.MustCompile(`\x1b\$[@BA]|\x1b\$\([CD]|\x1b\$\)[AC]|\x1b\([BIJH]|\x0e|\x0f`)
)

// highAts makes a letter of an @ behind a word that ends above 0x80 and is no UTF-8, or
// behind an encoded word where such bytes stand before it.
func highAts(value []byte) []byte {
	out := bytes.Clone(value)
	for i, c := range value {
		start := bytes.LastIndexAny(value[:i], " \t\r\n<>()\",;:@") + 1
		if word := bytes.TrimRight(value[start:i], "\\"); c == '@' && len(word) > 0 && (word[len(word)-1] > 0x80 && !utf8.Valid(word) || bytes.HasSuffix(word, []byte("?=")) && !utf8.Valid(value[:i])) {
			out[i] = 'A'
		}
	}
	return out
}

// wideAts makes them plain ones.
func wideAts(value []byte) []byte {
	return plainAts(inWords(value, func(charset string, text []byte) (string, []byte) { return charset, plainAts(text) }))
}

func plainAts(text []byte) []byte { return wideAt.ReplaceAll(text, []byte("@")) }

var wideAt = regexp.MustCompile(`＠|﹫`)

// sentencesInWords takes the dots that end sentences out of encoded words.
func sentencesInWords(value []byte) []byte {
	return inWords(value, func(charset string, text []byte) (string, []byte) {
		return charset, bytes.ReplaceAll(text, []byte(". "), []byte(" "))
	})
}

// invisible takes out what is not seen. The two marks that tell letters apart stay
// between letters.
func invisible(value []byte) []byte {
	drop := func(text []byte) []byte {
		text = joiners.ReplaceAll(text, []byte("@"))
		return runes(text, func(r rune) string {
			if unicode.Is(unicode.Cf, r) && r != '\u200c' && r != '\u200d' {
				return ""
			}
			return string(r)
		})
	}
	return drop(inWords(value, func(charset string, text []byte) (string, []byte) { return charset, drop(text) }))
}

var joiners = regexp.MustCompile(`[\x{200c}\x{200d}]*@[\x{200c}\x{200d}]*`)

// foreignMarks makes blanks of brackets, commas, quote marks and blanks that are not
// in US-ASCII, less apostrophes.
func foreignMarks(value []byte) []byte {
	blank := func(text []byte) []byte {
		return runes(text, func(r rune) string {
			if r != '‘' && r != '’' && r != '‛' && (unicode.IsSpace(r) || unicode.In(r, unicode.Ps, unicode.Pe, unicode.Pi, unicode.Pf) || strings.ContainsRune("，；、،＜＞≪≫＂：｜", r)) {
				return " "
			}
			return string(r)
		})
	}
	return blank(inWords(value, func(charset string, text []byte) (string, []byte) { return charset, blank(text) }))
}

// runes maps the characters of text that are not in US-ASCII. Other bytes stay.
func runes(text []byte, instead func(rune) string) []byte {
	var out []byte
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r < utf8.RuneSelf || r == utf8.RuneError {
			out = append(out, text[:size]...)
		} else {
			out = append(out, instead(r)...)
		}
		text = text[size:]
	}
	return out
}

// quotedLocals writes quoted local parts without their quoting, and what needs it
// with an underscore.
func quotedLocals(value []byte) []byte {
	return quotedLocal.ReplaceAllFunc(value, func(local []byte) []byte {
		end := bytes.LastIndexByte(local, '"')
		content := quotedPair.ReplaceAll(local[1:end], []byte("$1"))
		return append(special.ReplaceAll(bytes.ReplaceAll(content, []byte("\r\n"), nil), []byte("_")), local[end+1:]...)
	})
}

var (
	quotedLocal = regexp.MustCompile(`"(?:[^"\\]|\\[\s\S])*"(?:[^ \t\r\n"(),;:<>@]*[ \t\r\n]*@|\.)`)
	quotedPair  = regexp.MustCompile(`\\([\s\S])`)
	special     = regexp.MustCompile(`[\s"(),:;<>@\[\]\\]`)
)

// comment is the pattern of a comment, with comments inside.
const (
	comment = `\((?:[^()\\]|\\[\s\S]|` + inner + `)*\)`
	inner   = `\((?:[^()\\]|\\[\s\S]|\((?:[^()\\]|\\[\s\S])*\))*\)`
)

// spacedDomains takes out blanks and comments that stand beside a dot of a domain.
func spacedDomains(value []byte) []byte {
	return spacedDomain.ReplaceAllFunc(value, func(domain []byte) []byte { return space.ReplaceAll(domain, nil) })
}

var (
	space        = regexp.MustCompile(`(?:[ \t\r\n]|` + comment + `)+`)
	spacedDomain = regexp.MustCompile(`@\s*[^\s@<>,;:"()]*(?:(?:\.(?:[ \t\r\n]|` + comment + `)+|(?:[ \t\r\n]|` + comment + `)+\.)[^\s@<>,;:"()]*)+`)
)

// spacedLocals takes out blanks beside the dots of a local part, and comments in it.
func spacedLocals(value []byte) []byte {
	return spacedLocal.ReplaceAllFunc(value, func(local []byte) []byte { return space.ReplaceAll(local, nil) })
}

var spacedLocal = regexp.MustCompile(`[^ \t\r\n@<>,;:()]*(?:(?:(?:[ \t\r\n]|` + comment + `)*\.(?:[ \t\r\n]|` + comment + `)*|` + comment + `)[^ \t\r\n@<>,;:()]*)+[ \t\r\n]*(?:` + comment + `)?@`)

// angleBlanks takes blanks and comments out of what stands in angle brackets.
func angleBlanks(value []byte) []byte {
	value = inWords(value, func(charset string, text []byte) (string, []byte) {
		if charset == "" { // shown as it is written
			text = special.ReplaceAll(text, nil)
		}
		return charset, text
	})
	return angled.ReplaceAllFunc(value, func(a []byte) []byte { return space.ReplaceAll(a, nil) })
}

var angled = regexp.MustCompile(`<(?:[^<>"]|"(?:[^"\\]|\\[\s\S])*"|")*?@(?:[^<>"]|"(?:[^"\\]|\\[\s\S])*"|")*>`)

// strayMarks takes out a mark that stands right beside an @.
func strayMarks(value []byte) []byte {
	value = markBefore.ReplaceAll(value, []byte("$1$2@"))
	value = marksBehind.ReplaceAll(value, []byte("@$1"))
	return markBehind.ReplaceAll(value, []byte("@$1"))
}

var (
	markBefore  = regexp.MustCompile(`([^ \t\r\n,;:<>()])((?:[ \t\r\n]|` + comment + `)*)[,;:<>()"][ \t\r\n]*\\?@`)
	marksBehind = regexp.MustCompile(`@(?:[ \t\r\n]*[)"])+[ \t\r\n]*([^ \t\r\n,;:<>()"@])`)
	markBehind  = regexp.MustCompile(`@[ \t\r\n]*[,;:<>()"]+([^ \t\r\n,;:<>()"@])`)
)

// applicationFields renames them.
func applicationFields(m message) message {
	rename := func(text []byte) []byte { return applicationField.ReplaceAll(text, []byte("X-Other$1")) }
	return message{rename(m.header), rename(m.body)}
}

var applicationField = regexp.MustCompile(`(?im)^(?:[^\s:]+-Bcc|X-Notes-Item)([ \t]*:)`)

// invitations makes those of other types such as both versions know.
func invitations(m message) message {
	rename := func(text []byte) []byte {
		text = invitationType.ReplaceAll(text, []byte("text/calendar"))
		return invitationName.ReplaceAll(text, []byte("$1=x"))
	}
	return message{rename(m.header), rename(m.body)}
}

var (
	invitationType = regexp.MustCompile(`(?i)text/x-vcalendar|application/ics`)
	invitationName = regexp.MustCompile(`(?i)\b(name\*?|filename\*?)\s*=\s*"?(?:(?:[^"\r\n;]|\r\n[ \t])*\.ics\b|winmail\.dat)"?`)
)

// newsCopies makes message/rfc822 of message/news.
func newsCopies(m message) message {
	rename := func(text []byte) []byte { return news.ReplaceAll(text, []byte("message/rfc822")) }
	return message{rename(m.header), rename(m.body)}
}

var news = regexp.MustCompile(`(?i)message/news`)

// transferEncodings leaves the first of several fields in a header.
func transferEncodings(m message) message {
	first := func(text []byte) (out []byte) {
		named, drops := false, false
		for line := range bytes.Lines(text) {
			switch name := fieldStart.Find(line); {
			case bytes.HasPrefix(line, []byte("\r\n")), bytes.HasPrefix(line, []byte("--")):
				named, drops = false, false
			case bytes.HasPrefix(bytes.ToLower(name), []byte("content-transfer-encoding")):
				named, drops = true, named
			case name != nil:
				drops = false
			}
			if !drops {
				out = append(out, line...)
			}
		}
		return out
	}
	return message{first(m.header), first(m.body)}
}

// farCopies takes out what stands before the first delimiter.
func farCopies(m message) message {
	if n := bytes.Index(m.body, []byte("\r\n--")); n > 64<<10-4 {
		return message{m.header, m.body[n+2:]}
	}
	return m
}

// plainBoundaries takes comments and backslashes out of the boundaries of multiparts.
func plainBoundaries(m message) message {
	plain := func(text []byte) []byte {
		return boundary.ReplaceAllFunc(text, func(b []byte) []byte { return inBoundary.ReplaceAll(b, nil) })
	}
	return message{plain(m.header), plain(m.body)}
}

var inBoundary = regexp.MustCompile(comment + `|\\`)

// nobodyLeft adds a colleague to To where all whom To and Cc show are outside: then
// bcc leaves somebody there.
func nobodyLeft(m message) message {
	if colleague.Match(m.header) {
		return m
	}
	return message{append([]byte("To: colleague@"+inside+"\r\n"), m.header...), m.body}
}

var colleague = regexp.MustCompile(`(?im)^(?:To|Cc)[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*@` + regexp.QuoteMeta(inside) + `(?:[^\w.-]|$)`)

// replyNames leaves of a Reply-To its address alone.
func replyNames(m message) message {
	return message{replyTo.ReplaceAll(m.header, []byte("Reply-To: $1")), m.body}
}

var replyTo = regexp.MustCompile(`(?im)^Reply-To[ \t]*:[^\n]*(<[^<>\s]*>)[ \t]*\r?$`)
