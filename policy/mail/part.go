package mail

import (
	"bytes"
	"io"
	"slices"
	"strings"
)

// A Part is what the header of a part, or of the message itself, says about its
// content (RFC 2045).
type Part struct {
	Form      Form
	Whole     bool // it is the message itself
	OfMessage bool // its header is that of a message inside
	InMessage bool // it stands in a message inside, or is one
	Encoded   bool // that message is beneath a transfer encoding
	Again     bool // its content was told before, with fewer encodings undone

	types        []string
	encodings    []string
	dispositions []string
	digest       bool // without a type, it is a message (RFC 2046 section 5.1.5)
}

// maxFields is how many fields of one kind are looked at: mail clients differ in
// which of two they take, the first or the last.
const maxFields = 4

// Part returns what a header says about the body behind it.
func (h *Header) Part() Part {
	p := Part{Whole: true}
	for _, f := range h.Fields {
		if list := p.list(f.Kind); list != nil {
			add(list, unfolded(h.Value(f)))
		}
	}
	return p
}

// unfolded returns the value of a field with its folds taken out (RFC 5322 section
// 2.2.3). A line end that is no fold stays: a broken line that a fold follows is in
// the value, too, and goes on with no word in it.
func unfolded(value []byte) []byte {
	if bytes.IndexByte(value, '\n') == len(value)-1 {
		return value
	}
	value = bytes.ReplaceAll(value, []byte("\r\n "), []byte(" "))
	return bytes.ReplaceAll(value, []byte("\r\n\t"), []byte("\t"))
}

// list is where the values of a kind of field are kept, or nil.
func (p *Part) list(kind Kind) *[]string {
	switch kind {
	case ContentType:
		return &p.types
	case ContentTransferEncoding:
		return &p.encodings
	case ContentDisposition:
		return &p.dispositions
	}
	return nil
}

// add adds the unfolded value of a field. Past maxFields it takes the place of
// the last one.
func add(list *[]string, value []byte) {
	text := strings.TrimSpace(string(value))
	if len(*list) == maxFields {
		(*list)[maxFields-1] = text
	} else {
		*list = append(*list, text)
	}
}

// A Form is what stands behind the header of a part.
type Form int

const (
	Leaf Form = iota
	Message
	Multipart
)

// form goes by the media types, and where these say nothing by the file names.
func (p *Part) form() (f Form) {
	for _, media := range p.MediaTypes() {
		switch {
		case isReadable(media) && IsMultipart(media):
			return Multipart
		case IsMessage(media):
			f = Message
		}
	}
	if len(p.types) == 0 && p.digest || slices.ContainsFunc(p.FileNames(), func(name string) bool { return strings.HasSuffix(name, ".eml") }) {
		return Message
	}
	return f
}

// MediaTypes returns the media types that it claims, in lower case and without
// parameters.
func (p *Part) MediaTypes() (all []string) {
	for _, value := range p.types {
		all = append(all, mediaType(value))
	}
	return all
}

// IsA reports whether one of its media types is one of these.
func (p *Part) IsA(media ...string) bool {
	return slices.ContainsFunc(p.types, func(value string) bool { return slices.Contains(media, mediaType(value)) })
}

// IsText reports a part that says it is text: by its media type, or because it has
// none that can be read (RFC 2045 section 5.2). An invitation is none here.
func (p *Part) IsText() bool {
	return len(p.types) == 0 || slices.ContainsFunc(p.MediaTypes(), func(media string) bool {
		return !isReadable(media) || strings.HasPrefix(media, "text/") && media != "text/calendar"
	})
}

// boundaries returns what may separate the parts of a multipart, "" for what is
// not known.
func (p *Part) boundaries() []string {
	all := slices.DeleteFunc(p.namedBoundaries(), func(b string) bool { return len(b) > maxBoundary })
	if len(all) == 0 {
		return []string{""}
	}
	return all
}

// namedBoundaries are the boundaries that its Content-Type names (RFC 2046 section
// 5.1.1), without the blanks that none ends with. Comments and quoted pairs in one
// (RFC 5322 section 3.2) are part of it for some mail clients and not for others.
func (p *Part) namedBoundaries() (all []string) {
	for _, named := range parameter(p.types, "boundary") {
		plain := upTo(skipComments([]byte(named)), "(")
		for _, b := range []string{named, string(plain), string(unescape([]byte(named)))} {
			if b = strings.TrimRight(b, " \t"); b != "" && !slices.Contains(all, b) {
				all = append(all, b)
			}
		}
	}
	return all
}

// FileNames returns the names that the part would be saved under, in lower case.
func (p *Part) FileNames() (names []string) {
	for _, name := range append(parameter(p.dispositions, "filename"), parameter(p.types, "name")...) {
		decoded := string(decodeWords([]byte(name))) // against RFC 2047 section 5, and usual
		names = append(names, strings.ToLower(strings.TrimSpace(decoded)))
	}
	return names
}

func (p *Part) charset() string {
	for _, charset := range parameter(p.types, "charset") {
		return strings.Trim(strings.TrimSpace(charset), `'"`)
	}
	return ""
}

// Text puts before readers of text what undoes the charset of the part. Text that
// is not in a superset of US-ASCII is read as US-ASCII, too, by a reader of its own:
// so it is shown by a mail client that does not know the charset.
//
// UTF-16 and UTF-32 are left as they are, named or not: where zero bytes are
// dropped, what is in US-ASCII can then be read.
func (p *Part) Text(open func() io.WriteCloser) io.WriteCloser {
	name := strings.ToLower(p.charset())
	if slices.Contains(utf7Names, name) {
		return newUTF7Decoder(open())
	}
	wide := strings.HasPrefix(name, "utf-16") || strings.HasPrefix(name, "utf16") || strings.HasPrefix(name, "utf-32") || strings.Contains(name, "ucs")
	enc := lookupCharset(name)
	if enc == nil || wide {
		return open()
	}
	decoded := newCharsetDecoder(enc, open())
	if probe, err := enc.NewDecoder().String("a@b.c"); err == nil && probe == "a@b.c" {
		return decoded
	}
	return &content{[]io.WriteCloser{decoded, open()}}
}

// undoings are the ways in which the transfer encodings of the part may have to
// be undone (RFC 2045 section 6), each a list in order. Of several that are named,
// some mail clients take the first, some the last, others undo all.
func (p *Part) undoings() (ways [][]string) {
	var all [][]string // for each field what it says, which may be nothing
	for _, value := range p.encodings {
		var names []string
		if name := mediaType(value); name == "base64" || name == "quoted-printable" {
			names = []string{name}
		}
		all = append(all, names)
	}
	if len(all) == 0 {
		return [][]string{nil}
	}
	for _, way := range [][]string{all[0], all[len(all)-1], slices.Compact(slices.Concat(all...))} {
		if !slices.ContainsFunc(ways, func(w []string) bool { return slices.Equal(w, way) }) {
			ways = append(ways, way)
		}
	}
	return ways
}
