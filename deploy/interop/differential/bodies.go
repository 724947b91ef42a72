package main

import (
	"bytes"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// quotedText takes out what says that a text is quoted: marks before its lines, what
// mail clients write above it, and the elements of HTML that hold it.
func quotedText(m message) message {
	body := quoteMarks.ReplaceAll(m.body, nil)
	body = dividers.ReplaceAll(body, []byte("$1$2"))
	body = attributions.ReplaceAll(body, []byte("x"))
	body = blockDates.ReplaceAll(body, []byte("${1}_$2"))
	body = blockquotes.ReplaceAll(body, []byte("${1}div"))
	return message{m.header, quoteNames.ReplaceAll(body, []byte("x"))}
}

var (
	quoteMarks = regexp.MustCompile(`(?m)^[ \t]*>[ \t>]*`)
	dividers   = regexp.MustCompile(`(?im)(?:^|>)[ \t]*--[- ]*((?:original|ursp|message|mensa|oors|mensagem|oryg|oprind|opprin|alkup|p[^\x00-\x7f]{1,2}vod)[^\r\n]*?)[- ]*--[ \t]*(\r?)$`)
	// In the languages that were known, what says who wrote, and when in a block.
	attributions = regexp.MustCompile(`wrote:|schrieb|geschrieben|a .{1,2}crit|escribi|ha scritto|escreveu|schreef|geschreven|skrev`)
	blockDates   = regexp.MustCompile(`(?i)(sent|date|gesendet|datum|envoy[^\s:<]{1,2}|enviad[oa](?: ?e[lm])?|fecha|inviato|data|verzonden|wys[^\s:<]{1,2}ano|skickat|sendt|dato|l[^\s:<]{1,2}hetetty|p[^\s:<]{1,2}iv[^\s:<]{1,2}m[^\s:<]{1,2}r[^\s:<]{1,2}|odesl[^\s:<]{1,2}no)((?:[ *\x{a0}\xc2\xa0]|<[^<>]*>)*:)`)
	blockquotes  = regexp.MustCompile(`(?i)(</?)blockquote`)
	quoteNames   = regexp.MustCompile(`gmail_quote|moz-cite-prefix|divRplyFwdMsg|appendonsend|OLK_SRC_BODY_SECTION`)
)

// inSight renames the fields of the header, and of those that may be copies of it, so
// that nobody is seen there: in the headers of parts, and where messages may be copies,
// everywhere.
func inSight(m message) message {
	rename := func(text []byte) []byte {
		return senderFields.ReplaceAll(shownFields.ReplaceAll(text, []byte("X-$1")), []byte("X-$1"))
	}
	header := shownFields.ReplaceAll(m.header, []byte("X-$1"))
	if senders.Match(header) {
		header = rename(header)
	}
	if copies.Match(m.header) || copies.Match(m.body) {
		return message{header, rename(m.body)}
	}
	return message{header, partHeader.ReplaceAllFunc(m.body, rename)}
}

var (
	copies       = regexp.MustCompile(`(?i)multipart/signed|message/|rfc822-headers`)
	partHeader   = regexp.MustCompile(`(?m)^--[^\n]*\n(?:[^\r\n][^\n]*(?:\n|$))*`)
	senders      = regexp.MustCompile(`(?ims)^(?:From|Sender)[ \t]*:[^@]*@.*^(?:From|Sender)[ \t]*:[^@]*@|^(?:From|Sender)[ \t]*:(?:[^\n@]|\n[ \t]|\n[^\n:]*$)*@(?:[^\n]|\n[ \t]|\n[^\n:]*$)*@`)
	senderFields = regexp.MustCompile(`(?im)^((?:From|Sender)[ \t]*:)`)
)

var shownFields = regexp.MustCompile(`(?im)^((?:To|Cc|Bcc|Reply-To|Resent-To|Resent-Cc|Resent-Bcc|Apparently-To|Mail-Followup-To|Mail-Reply-To)[ \t]*:)`)

// A part is a header and what stands behind it, up to the next line that begins like
// a delimiter.
type part struct{ header, content []byte }

// inParts mends the parts of a message, those of messages inside, too.
func inParts(mend func(part) part) func(message) message {
	return func(m message) message {
		var out []byte
		text := m.text()
		named := boundaries(text)
		for inHeader := true; len(text) > 0; {
			end := bytes.Index(text, []byte("\r\n\r\n"))
			if !inHeader || end < 0 && !bytes.HasPrefix(text, []byte("--")) && len(out) > 0 {
				end = -4
			} else if end < 0 {
				end = len(text) - 4
			}
			p := part{header: text[:end+4]}
			text = text[end+4:]
			if isMessage(p.header) && !bytes.HasPrefix(text, []byte("--")) {
				out, inHeader = append(out, p.header...), true
				continue
			}
			next := nextDelimiter(text, named)
			if bytes.HasPrefix(text, []byte("--")) {
				next = 0
			}
			p.content, text = text[:next], text[next:]
			p = mend(p)
			out = append(append(out, p.header...), p.content...)
			inHeader = true
		}
		return parse(out)
	}
}

// isMessage reports a header behind which another one stands.
func isMessage(header []byte) bool {
	switch strings.ToLower(string(submatch(contentType, header))) {
	case "message/rfc822", "message/global", "message/news":
		return true
	}
	return false
}

var contentType = regexp.MustCompile(`(?im)^Content-Type[ \t]*:\s*([^\s;]*)`)

// byBytes gives parts the type that their content has: HTML, or text.
func byBytes(m message) message {
	return inParts(func(p part) part {
		mediaType := strings.ToLower(string(submatch(contentType, p.header)))
		switch {
		case strings.HasPrefix(mediaType, "multipart/"), isMessage(p.header), mediaType == "text/calendar":
			return p
		case isHTML(p.content):
			mediaType = "text/html"
		case !strings.HasPrefix(mediaType, "text/") && mediaType != "":
			mediaType = "text/plain"
		default:
			return p
		}
		p.header = contentTypes.ReplaceAll(p.header, nil)
		end := len(bytes.TrimSuffix(p.header, []byte("\r\n")))
		p.header = slices.Concat(p.header[:end], []byte("Content-Type: "+mediaType+"\r\n"), p.header[end:])
		return p
	})(m)
}

var contentTypes = regexp.MustCompile(`(?im)^Content-(?:Type|Disposition)[ \t]*:(?:[^\n]|\n[ \t])*\n`)

func submatch(re *regexp.Regexp, text []byte) []byte {
	if found := re.FindSubmatch(text); found != nil {
		return found[1]
	}
	return nil
}

// isHTML reports what begins with a tag, and has one that pages have.
func isHTML(content []byte) bool {
	start := bytes.ToLower(content[:min(len(content), 1024)])
	return bytes.HasPrefix(bytes.TrimLeft(start, " \t\r\n\xef\xbb\xbf\xfe\xff\x00"), []byte("<")) && pageTag.Match(bytes.ReplaceAll(start, []byte{0}, nil))
}

var pageTag = regexp.MustCompile(`<html|<body|<table|<div|<p>`)

// calendars makes text of what begins like an invitation.
func calendars(m message) message {
	return message{m.header, calendar.ReplaceAll(m.body, []byte("BEGIN:XCALENDAR"))}
}

var calendar = regexp.MustCompile(`BEGIN:VCALENDAR`)

// vcards writes vCards without folding and quoted-printable, as text.
func vcards(m message) message {
	return inParts(func(p part) part {
		named := vcardName.Match(p.header)
		if holds := card.Match(p.content[:min(len(p.content), 1024)]); !holds && !named {
			return p
		} else if holds {
			p.content = decodedQuoted(p.content)
		}
		p.content = card.ReplaceAll(fold.ReplaceAll(p.content, nil), []byte("begin:xcard"))
		p.header = vcardName.ReplaceAll(p.header, []byte("x"))
		return p
	})(m)
}

var (
	card        = regexp.MustCompile(`(?i)begin:vcard`)
	vcardName   = regexp.MustCompile(`(?i)x-vcard|vcard|directory|[\w-]*\.vcf`)
	fold        = regexp.MustCompile(`\r?\n[ \t]`)
	strayEquals = regexp.MustCompile(`=([^0-9a-fA-F\r\n \t]|[0-9a-fA-F][^0-9a-fA-F])`)
)

// hiddenHTML takes out comments, declarations, scripts and styles.
func hiddenHTML(m message) message {
	return inParts(func(p part) part {
		for _, re := range hidden {
			p.content = re.ReplaceAll(p.content, nil)
		}
		return p
	})(m)
}

var hidden = []*regexp.Regexp{
	regexp.MustCompile(`(?s)<!--(?:-?>|.*?--!?>|.*)`), regexp.MustCompile(`<[!?][^>]*>?`),
	regexp.MustCompile(`(?is)<script(?:"[^"]*"|'[^']*'|[^>"'])*>.*?(?:</script[ \t\r\n\f]*>|$)`), regexp.MustCompile(`(?is)<style(?:"[^"]*"|'[^']*'|[^>"'])*>.*?(?:</style[ \t\r\n\f]*>|$)`),
	regexp.MustCompile(`(?i)</(?:script|style)\b[^>]*>`),
}

// inlineTags takes out tags that end no word. Links with an address in them stand
// before it then.
func inlineTags(m message) message {
	for range maxRounds {
		m.body = linkInWord.ReplaceAll(m.body, []byte("$2 $1"))
	}
	return message{m.header, inline.ReplaceAll(m.body, nil)}
}

var linkInWord = regexp.MustCompile(`(?i)([\w.@-]+)(<a\s[^<>]*@[^<>]*>)`)

var inline = regexp.MustCompile(`(?i)</?(?:a|abbr|acronym|area|b|bdi|bdo|big|cite|code|data|del|dfn|em|font|i|ins|kbd|label|mark|nobr|o:p|q|s|samp|small|span|strong|strike|sub|sup|time|tt|u|var|wbr)(?:[\s/](?:[^<>@%&]|[^\w<>@%&]@)*(?:@['"]?)?)?>`)

// containers takes from zip, gzip and OLE files what they are known by, in base64, too.
func containers(text []byte) []byte {
	for _, magic := range []string{"PK\x03\x04", "\x1f\x8b\x08", "\xd0\xcf\x11\xe0", "UEsDB", "H4sI", "0M8R4"} {
		text = bytes.ReplaceAll(text, []byte(magic), []byte("xxxxx"))
	}
	return text
}

// controls puts blanks in place of control characters.
func controls(text []byte) []byte { return control.ReplaceAll(text, []byte(" ")) }

var control = regexp.MustCompile(`[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]`)

// replace is a class that one pattern makes, in the body.
func replace(pattern, with string) func(message) message {
	re := regexp.MustCompile(pattern)
	return inBody(func(text []byte) []byte { return re.ReplaceAll(text, []byte(with)) })
}

// urls takes the @ out of words that are addresses of pages.
func urls(text []byte) []byte {
	return urlWord.ReplaceAllFunc(text, func(word []byte) []byte {
		if first := bytes.IndexByte(word, '@') + 1; bytes.HasPrefix(bytes.ToLower(word), []byte("mailto:")) {
			return append(word[:first:first], bytes.ReplaceAll(word[first:], []byte("@"), []byte("a"))...)
		}
		return bytes.ReplaceAll(word, []byte("@"), []byte("a"))
	})
}

var urlWord = regexp.MustCompile(`(?i)[^\s<>"(),;|\[\]\\]*(?:://|www\.[^\s<>"(),;|\[\]\\]*/|/)[^\s<>"(),;|\[\]\\]*@[^\s<>"(),;|\[\]\\]*`)

// topLevels ends domains that no registry has with .example, and writes literals as
// such a name.
func topLevels(text []byte) []byte {
	text = literal.ReplaceAll(text, []byte("@literal.example"))
	return domains.ReplaceAllFunc(text, func(d []byte) []byte {
		name := bytes.TrimRight(d, ".-_")
		ascii, err := idna.Lookup.ToASCII(string(name[1:]))
		if err != nil {
			ascii = strings.ToLower(string(name[1:]))
		}
		last := ascii[strings.LastIndexByte(ascii, '.')+1:]
		if _, icann := publicsuffix.PublicSuffix("0." + last); icann || last == ascii || slices.Contains(specialUse, last) {
			return d
		}
		return slices.Concat(name, []byte(".example"), d[len(name):])
	})
}

var (
	literal    = regexp.MustCompile(`@\[[^\]]{1,62}\]`)
	domains    = regexp.MustCompile(`@(?:[\w.-]|[^\x00-\x7f])+`)
	specialUse = strings.Fields("alt example internal invalid lan local localhost onion test")
)

// looseQuotes takes the quote mark before an @ away where its partner stands in a
// word.
func looseQuotes(text []byte) []byte { return looseQuote.ReplaceAll(text, []byte("$1 @")) }

var looseQuote = regexp.MustCompile(`([^\s<>"(),;|\[\]\\:]"[^"]*)"@`)

// ebcdic has text that is not in a superset of US-ASCII read as US-ASCII.
func ebcdic(m message) message {
	drop := func(text []byte) []byte { return foreignCharset.ReplaceAll(text, []byte("${1}us-ascii")) }
	return message{drop(m.header), drop(m.body)}
}

var foreignCharset = regexp.MustCompile(`(?i)(charset\*?="?)(?:ibm|cp|ebcdic)[\w-]*`)

// utf7 decodes UTF-7.
func utf7(m message) message {
	return inParts(func(p part) part {
		if !utf7Name.Match(p.header) {
			return p
		}
		p.header = utf7Name.ReplaceAll(p.header, []byte("${1}utf-8"))
		p.content = decodedUTF7(p.content)
		return p
	})(m)
}

func decodedUTF7(text []byte) []byte {
	return utf7Run.ReplaceAllFunc(text, func(run []byte) []byte {
		if string(run) == "+-" {
			return []byte("+")
		}
		var out []rune
		for units := decodedBase64(bytes.TrimSuffix(run[1:], []byte("-"))); len(units) > 1; units = units[2:] {
			out = append(out, rune(units[0])<<8|rune(units[1]))
		}
		return []byte(string(out))
	})
}

var (
	utf7Name = regexp.MustCompile(`(?i)(charset\*?="?)(?:utf-?7|csutf7|unicode-1-1-utf-7|csunicode11utf7|x-unicode-2-0-utf-7|x-utf-7|cp65000)`)
	utf7Run  = regexp.MustCompile(`\+[A-Za-z0-9+/]*-?`)
)
