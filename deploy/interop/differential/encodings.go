package main

import (
	"bytes"
	"io"
	"mime/quotedprintable"
	"regexp"
	"slices"
)

// endedHeaders puts an empty line before one that ends the header of a part since it
// is no field.
func endedHeaders(m message) message {
	var out []byte
	inHeader := false
	for line := range bytes.Lines(m.body) {
		switch {
		case bytes.HasPrefix(line, []byte("--")):
			if inHeader {
				out = append(out, "\r\n"...)
			}
			inHeader = true
		case inHeader && !fieldStart.Match(line) && line[0] != ' ' && line[0] != '\t':
			if inHeader = false; line[0] != '\r' {
				out = append(out, "\r\n"...)
			}
		}
		out = append(out, line...)
	}
	return message{m.header, out}
}

// encodingField matches the field that names a transfer encoding that matters.
var encodingField = regexp.MustCompile(`(?im)^Content-Transfer-Encoding[ \t]*:[ \t]*(?:\([^()]*\)[ \t]*)?(base64|quoted-printable)\b[^\r\n]*\r?\n`)

// boundary matches the boundary that a message names.
var boundary = regexp.MustCompile(`(?i);\s*boundary[ \t]*=[ \t]*"?([^";\r\n]+)`)

var delimiter = regexp.MustCompile(`\n--[^\s][^\n]*`)

// boundaries returns what begins the lines between parts: the boundaries that are
// named, or else the first that comes.
func boundaries(text []byte) (named [][]byte) {
	if !ofMultipart.Match(text) {
		return nil
	}
	for _, found := range boundary.FindAllSubmatch(text, -1) {
		named = append(named, append([]byte("\n--"), bytes.TrimRight(found[1], " \t")...))
	}
	if first := delimiter.Find(text); len(named) == 0 && first != nil {
		return [][]byte{bytes.TrimRight(first, " \t\r")}
	}
	return named
}

// nextDelimiter returns where the next line begins that may part parts.
func nextDelimiter(text []byte, named [][]byte) int {
	next := len(text)
	for _, b := range named {
		for from := 0; from < next; {
			n := bytes.Index(text[from:next], b)
			if n < 0 {
				break
			}
			rest, _, _ := bytes.Cut(text[from+n+len(b):], []byte("\n"))
			if rest = bytes.TrimRight(rest, " \t\r"); len(rest) == 0 || string(rest) == "--" {
				next = from + n + 1
			}
			from += n + len(b)
		}
	}
	return next
}

// decodedQuoted decodes quoted-printable, as much of it as there is.
func decodedQuoted(text []byte) []byte {
	decoded, _ := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(strayEquals.ReplaceAll(text, []byte("=3D$1")))))
	return decoded
}

// headerEnd returns where the header ends that has a field at some place.
func headerEnd(text []byte, field int) int {
	if n := bytes.Index(text[field:], []byte("\r\n\r\n")); n >= 0 {
		return field + n + 4
	}
	return len(text)
}

var (
	wrapping    = regexp.MustCompile(`(?i)\b(?:multipart|message)/`)
	ofMultipart = regexp.MustCompile(`(?im)^Content-Type[ \t]*:\s*multipart/`)
)

// withoutEncodings decodes what stands behind a header that names an encoding, up to
// the next line that begins like a delimiter.
func withoutEncodings(m message) message {
	text := m.text()
	named := boundaries(text)
	for from := 0; ; {
		place := encodingField.FindSubmatchIndex(text[from:])
		if place == nil {
			return parse(text)
		}
		base64 := text[from+place[2]]|0x20 == 'b'
		field := from + place[0]
		if field >= len(parse(text).header) && !wrapping.Match(text) {
			return parse(text)
		}
		header := max(bytes.LastIndex(text[:field], []byte("\r\n\r\n")), bytes.LastIndex(text[:field], []byte("\n--"))) + 1
		if ofMultipart.Match(text[header:headerEnd(text, field)]) { // it has none
			from += place[1]
			continue
		}
		text = slices.Concat(text[:field], []byte("X-Undone:\r\n"), text[from+place[1]:]) // lines are still counted
		start := headerEnd(text, field)
		end := start + nextDelimiter(text[start:], named)
		var decoded []byte
		if base64 {
			decoded = append(decodedBase64(text[start:end]), "\r\n"...)
		} else {
			decoded = decodedQuoted(text[start:end])
		}
		text = bytes.Join([][]byte{text[:start], withCRLF(decoded), text[end:]}, nil)
		from = field
	}
}
