package main

import (
	"bytes"
	"html"
	"regexp"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
)

// fieldStart matches the name of a field, and addressField that of one that shows
// addresses, in a header and in what is one further down.
var (
	fieldStart   = regexp.MustCompile(`^[!-9;-~]+[ \t]*:`)
	addressField = regexp.MustCompile(`(?i)^(?:To|Cc|Bcc|From|Sender|Reply-To|Resent-To|Resent-Cc|Resent-Bcc|Apparently-To|Mail-Followup-To|Mail-Reply-To|X-Notes-Item|[^\s:]*-Bcc)[ \t]*:`)
)

// inFields mends the values of the fields that show addresses. A line that begins no
// field and is no fold, either, belongs to the one before.
func inFields(mend func(value []byte) []byte) func(message) message {
	each := func(text []byte) []byte {
		var out, value []byte
		shows := false
		end := func() {
			if cut := len(bytes.TrimRight(value, "\r\n")); shows {
				value = append(mend(value[:cut:cut]), value[cut:]...)
			}
			out, value = append(out, value...), nil
		}
		for line := range bytes.Lines(text) {
			blank := len(bytes.TrimRight(line, "\r\n")) == 0
			if name := fieldStart.Find(line); name != nil || blank {
				end()
				shows = addressField.Match(name)
				out, line = append(out, name...), line[len(name):]
			}
			value = append(value, line...)
		}
		end()
		return out
	}
	return func(m message) message { return message{each(m.header), each(m.body)} }
}

// inBody mends all of the body.
func inBody(mend func(text []byte) []byte) func(message) message {
	return func(m message) message { return message{m.header, mend(m.body)} }
}

// unwrapped undoes the transfer encodings of a message, and its encoded words, where
// both versions read it as before: what the classes look for is then to be seen.
func unwrapped(p *pair, m message) message {
	for _, undo := range []func(message) message{endedHeaders, withoutEncodings, withoutCharsets, inFields(withoutWords), inBody(withoutReferences)} {
		if plain := undo(m); !same(plain, m) && p.readAlike(plain, m) {
			m = plain
		}
	}
	return m
}

// withCRLF returns text without line ends that stand alone.
func withCRLF(text []byte) []byte {
	text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte(" "))
	return bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
}

// withoutCharsets writes text in UTF-8, and without zero bytes.
func withoutCharsets(m message) message {
	m.body = bytes.ReplaceAll(m.body, []byte{0}, nil)
	return inParts(func(p part) part {
		charset := charsetParameter.FindSubmatch(p.header)
		if charset == nil {
			return p
		}
		enc, err := htmlindex.Get(string(charset[2]))
		if err != nil || enc == encoding.Replacement || enc == unicode.UTF8 {
			return p
		}
		if decoded, err := enc.NewDecoder().Bytes(p.content); err == nil {
			return part{charsetParameter.ReplaceAll(p.header, []byte("${1}utf-8")), withCRLF(decoded)}
		}
		return p
	})(m)
}

// withoutReferences decodes the character references of HTML, less those that would
// begin a tag.
func withoutReferences(text []byte) []byte {
	return reference.ReplaceAllFunc(text, func(r []byte) []byte {
		if one := html.UnescapeString(string(r)); !strings.ContainsAny(one, "<>&\"") {
			return []byte(one)
		}
		return r
	})
}

var reference = regexp.MustCompile(`&(?:#[0-9]+|#[xX][0-9a-fA-F]+|\w+);?`)
