package mail

import (
	"bytes"
	"io"
	"mime"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/text/transform"
)

// A partKind is how the content of a part is read.
type partKind int

const (
	partOther partKind = iota // not at all
	PartText
	PartHTML
	PartMessage
	PartMultipart
)

// Kind goes by the media types, and where these say nothing by the file names.
// A part without a type is text, and so is one whose type cannot be read
// (RFC 2045 section 5.2). An invitation lists whom it is for, and means to.
func (h *PartHeader) Kind() partKind {
	kind := partOther
	for _, value := range h.types {
		kind = max(kind, kindOfType(mediaType(value)))
	}
	switch {
	case len(h.types) == 0 && h.Digest:
		return PartMessage
	case len(h.types) == 0 && kind == partOther:
		kind = PartText
	}
	for _, name := range h.fileNames() {
		switch {
		case strings.HasSuffix(name, ".eml") && kind != PartMultipart:
			return PartMessage
		case kind == partOther && (strings.HasSuffix(name, ".csv") || strings.HasSuffix(name, ".txt") || strings.HasSuffix(name, ".vcf")):
			kind = PartText
		}
	}
	return kind
}

func kindOfType(media string) partKind {
	main, sub, _ := strings.Cut(media, "/")
	switch {
	case main == "" || sub == "" || strings.Contains(sub, "/") || media == "application/csv":
		return PartText
	case media == "text/html", media == "application/xhtml+xml":
		return PartHTML
	case media == "text/calendar":
		return partOther
	case isMessage(media):
		return PartMessage
	case main == "text":
		return PartText
	case main == "multipart":
		return PartMultipart
	}
	return partOther
}

// mediaType returns the type that a Content-Type names, in lower case. What
// should part it from its parameters may be missing.
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

// Boundaries returns the boundaries of a multipart, "" for one that is not
// known.
func (h *PartHeader) Boundaries() []string {
	all := slices.DeleteFunc(boundariesIn(h.types), func(b string) bool { return len(b) > MaxBoundary })
	if len(all) == 0 {
		return []string{""}
	}
	return all
}

// boundariesIn returns the boundaries that values of Content-Type name, without
// the blanks that none ends with (RFC 2046 section 5.1.1).
func boundariesIn(values []string) []string {
	all := parameter(values, "boundary")
	for i, b := range all {
		all[i] = strings.TrimRight(b, " \t")
	}
	return slices.DeleteFunc(slices.Compact(all), func(b string) bool { return b == "" })
}

func (h *PartHeader) Digests() bool {
	return slices.ContainsFunc(h.types, func(t string) bool { return mediaType(t) == "multipart/digest" })
}

// fileNames returns the names that the part would be saved under, in lower
// case.
func (h *PartHeader) fileNames() (names []string) {
	for _, name := range append(parameter(h.dispositions, "filename"), parameter(h.types, "name")...) {
		decoded := string(decodeWords([]byte(name))) // against RFC 2047 section 5, and usual
		names = append(names, strings.ToLower(strings.TrimSpace(decoded)))
	}
	return names
}

// IsAttachment reports a part that is no text of the sender's own.
func (h *PartHeader) IsAttachment() bool {
	attached := slices.ContainsFunc(h.dispositions, func(d string) bool { return mediaType(d) == "attachment" })
	return attached || len(h.fileNames()) > 0
}

// Encoding returns the transfer encoding that has to be undone, or "" (RFC 2045
// section 6).
func (h *PartHeader) Encoding() string { return transferEncoding(h.Encodings) }

func (h *PartHeader) charset() string {
	for _, charset := range parameter(h.types, "charset") {
		return strings.Trim(strings.TrimSpace(charset), `'"`)
	}
	return ""
}

func (h *PartHeader) IsUTF7() bool { return slices.Contains(utf7Names, strings.ToLower(h.charset())) }

// Decoded puts before a reader of text what undoes the encodings of the part.
//
// UTF-16 and UTF-32 are left as they are, named or not: the text readers drop
// zero bytes, and what is in US-ASCII can then be read.
func (h *PartHeader) Decoded(text io.WriteCloser) io.WriteCloser {
	name := strings.ToLower(h.charset())
	wide := strings.HasPrefix(name, "utf-16") || strings.HasPrefix(name, "utf16") || strings.HasPrefix(name, "utf-32") || strings.Contains(name, "ucs")
	if enc := lookupCharset(name); enc != nil && !wide {
		text = &CharsetDecoder{transform.NewWriter(text, enc.NewDecoder()), text}
	}
	if h.isFolded() {
		text = &Unfolder{To: text}
	}
	return h.TransferDecoded(text)
}

// isFolded reports vCards: a line that begins with a blank goes on with the
// one before (RFC 6350 section 3.2).
func (h *PartHeader) isFolded() bool {
	vCards := slices.ContainsFunc(h.types, func(t string) bool {
		return slices.Contains([]string{"text/vcard", "text/x-vcard", "text/directory"}, mediaType(t))
	})
	return vCards || slices.ContainsFunc(h.fileNames(), func(name string) bool { return strings.HasSuffix(name, ".vcf") })
}

func (h *PartHeader) TransferDecoded(to io.WriteCloser) io.WriteCloser {
	switch h.Encoding() {
	case "base64":
		return &Base64Decoder{To: to}
	case "quoted-printable":
		return &QuotedPrintableDecoder{To: to}
	}
	return to
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

func isMultipart(mediaType string) bool { return strings.HasPrefix(mediaType, "multipart/") }

// isMessage reports a media type whose body begins with a header.
func isMessage(mediaType string) bool {
	return mediaType == "message/rfc822" || mediaType == "message/global" || mediaType == legacyDisplay
}

// legacyDisplay is the type of the part in which older header protection
// repeats the header for mail clients that do not know of it.
const legacyDisplay = "text/rfc822-headers"

// UnescapeURL undoes %40, where that can be done.
func UnescapeURL(s string) string {
	if text, err := url.PathUnescape(s); err == nil {
		return text
	}
	return s
}
