package mail

import (
	"bytes"
	"mime"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// mediaType returns the type that a Content-Type names, in lower case. What
// should separate it from its parameters may be missing.
func mediaType(value string) string {
	const ends = " \t\r\n(;,\""
	text := skipComments([]byte(value))
	if len(text) > 0 && text[0] == '"' {
		text = text[1:]
	}
	name := upTo(text, "/"+ends)
	if sub, ok := bytes.CutPrefix(skipComments(text[len(name):]), []byte("/")); ok {
		name = slices.Concat(name, []byte("/"), upTo(skipComments(sub), ends))
	}
	return strings.ToLower(string(name))
}

// upTo returns text up to the first of some characters.
func upTo(text []byte, ends string) []byte {
	if end := bytes.IndexAny(text, ends); end >= 0 {
		return text[:end]
	}
	return text
}

// skipComments returns text without the white space and comments it begins with.
func skipComments(text []byte) []byte {
	for {
		text = bytes.TrimLeft(text, " \t\r\n")
		if len(text) == 0 || text[0] != '(' {
			return text
		}
		end, ok := Closing(text, 0)
		if !ok {
			return text
		}
		text = text[end:]
	}
}

// parameters matches the parameters of a field whose grammar is broken.
var parameters = regexp.MustCompile(`;\s*([^\s=;]+)\s*=\s*(?:"([^"]*)"?|([^;\s]*)([^;]*))`)

// parameter returns a parameter of each of the values, where it has it
// (RFC 2045 section 5.1, RFC 2231). One that should be in quotation marks and
// is not may be its first word, or all that comes. The standard library leaves
// out what RFC 2231 writes in other charsets than UTF-8.
func parameter(values []string, name string) (all []string) {
	for _, value := range values {
		_, parsed, err := mime.ParseMediaType(value)
		if p, ok := parsed[name]; ok && err == nil {
			all = append(all, p)
			continue
		}
		if err == nil && !strings.Contains(value, "*") {
			continue
		}
		var pieces strings.Builder
		for _, m := range parameters.FindAllStringSubmatch(value, -1) {
			switch base, section, extended := strings.Cut(m[1], "*"); {
			case !strings.EqualFold(base, name):
			case !extended:
				all = append(all, m[2]+m[3], m[2]+m[3]+m[4])
			case section == "" || strings.HasSuffix(section, "*"):
				pieces.WriteString(extendedValue(m[2] + m[3]))
			default:
				pieces.WriteString(m[2] + m[3])
			}
		}
		if pieces.Len() > 0 {
			all = append(all, pieces.String())
		}
	}
	return all
}

// extendedValue decodes charset'language'text (RFC 2231 section 4), as far as it
// is US-ASCII. Sections behind the first one have text only.
func extendedValue(value string) string {
	if parts := strings.SplitN(value, "'", 3); len(parts) == 3 {
		value = parts[2]
	}
	return UnescapeURL(value)
}

// MediaTypes returns the media types that a message claims, in lower case and
// without parameters (RFC 2045 section 5): mail clients differ in which of two
// Content-Type fields they take.
func (h *Header) MediaTypes() (all []string) {
	for _, value := range h.Values(ContentType) {
		all = append(all, mediaType(string(value)))
	}
	return all
}

// IsMultipart reports the media type of a message with parts.
func IsMultipart(media string) bool { return strings.HasPrefix(media, "multipart/") }

// IsMessage reports a media type whose body begins with a header.
func IsMessage(media string) bool {
	return media == "message/rfc822" || media == "message/global" || media == "message/news" || media == legacyDisplay
}

// legacyDisplay is the type of the part in which older header protection
// repeats the header for mail clients that do not know of it.
const legacyDisplay = "text/rfc822-headers"

// isReadable reports a media type that is one: two words with a slash between.
func isReadable(media string) bool {
	main, sub, _ := strings.Cut(media, "/")
	return main != "" && sub != "" && !strings.Contains(sub, "/")
}

// UnescapeURL undoes %40, where that can be done.
func UnescapeURL(s string) string {
	if text, err := url.PathUnescape(s); err == nil {
		return text
	}
	return s
}
