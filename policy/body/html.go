package body

import (
	"bytes"
	"slices"
	"strings"

	"golang.org/x/net/html"

	"sendguard/policy/mail"
)

// An htmlScanner passes on what HTML shows: its text, with the lines that the
// tags make of it, and the addresses of its mailto: links. The tokenizer of
// x/net/html has to be the one who reads, so it is used for single tags only.
//
// What is in comments, styles and scripts is read as text, too, apart from the rest:
// some mail clients show the one or the other. No tag begins there, and no word ends.
type htmlScanner struct {
	text   *textScanner
	hidden *textScanner // that is not shown by all
	state  htmlState
	tag    []byte // from its < on, as far as it matters; of what is hidden, its last bytes
	raw    string // what ends a script or style
	quote  byte   // that is open in the tag
	value  bool   // an = was the last that the tag said
}

type htmlState int

const (
	htmlText        htmlState = iota
	htmlOpened                // a < was the last byte
	htmlTag                   //
	htmlDeclaration           // <! or <?, which may begin a comment
	htmlComment               //
	htmlRaw                   // a script or style
	htmlRawOpened             // and a < in it, which may end it
)

// maxTag is what is held of a tag. Longer ones hold pictures.
const maxTag = 4 << 10

func newHTMLScanner(s *Counter) *htmlScanner {
	return &htmlScanner{text: &textScanner{scan: s, html: true}, hidden: &textScanner{scan: s, html: true}}
}

// Write takes HTML, cut anywhere; it cannot fail.
func (h *htmlScanner) Write(source []byte) (int, error) {
	for p := withoutZeros(source); len(p) > 0; {
		switch h.state {
		case htmlText:
			p = h.upTo(p, '<', h.text, htmlOpened)
		case htmlOpened:
			h.open(p[0])
		case htmlTag:
			p = p[h.inTag(p):]
		case htmlDeclaration, htmlComment:
			p = h.inComment(p)
		case htmlRaw:
			p = h.upTo(p, '<', h.hidden, htmlRawOpened)
			h.tag = append(h.tag[:0], '<')
		case htmlRawOpened:
			p = h.inRaw(p)
		}
	}
	return len(source), nil
}

// upTo passes on what stands before a byte, and returns what is behind it. Where it
// comes, next is the state.
func (h *htmlScanner) upTo(p []byte, end byte, to *textScanner, next htmlState) (rest []byte) {
	n := bytes.IndexByte(p, end)
	if n < 0 {
		to.Write(p)
		return nil
	}
	to.Write(p[:n])
	h.state = next
	return p[n+1:]
}

// open says what the < begins that c follows.
func (h *htmlScanner) open(c byte) {
	h.tag, h.quote, h.value = append(h.tag[:0], '<'), 0, false
	switch {
	case c == '/' || 'a' <= c|0x20 && c|0x20 <= 'z':
		h.state = htmlTag
	case c == '!' || c == '?':
		h.state = htmlDeclaration
	default:
		h.state = htmlText
		h.text.Write(h.tag)
	}
}

// inTag takes what belongs to the tag at hand and returns how much that is.
func (h *htmlScanner) inTag(p []byte) int {
	for i := 0; i < len(p); i++ {
		if h.quote != 0 {
			n := bytes.IndexByte(p[i:], h.quote)
			if n < 0 {
				h.hold(p[i:])
				return len(p)
			}
			h.hold(p[i : i+n])
			i += n
		}
		c := p[i]
		if len(h.tag) < maxTag {
			h.tag = append(h.tag, c)
		}
		switch {
		case h.quote != 0:
			h.quote = 0
		case c == '>':
			h.state = htmlText
			h.endTag()
			return i + 1
		case h.value && (c == '"' || c == '\''):
			h.quote = c
		}
		h.value = c == '=' || h.value && mail.Class[c] == mail.ClassSpace
	}
	return len(p)
}

// hold goes on with the tag at hand, as far as it matters.
func (h *htmlScanner) hold(p []byte) {
	h.tag = append(h.tag, p[:min(len(p), maxTag-len(h.tag))]...)
}

// inComment takes what belongs to a declaration or a comment, and returns the rest.
// A comment ends with --> or --!>, and begins with what may end it (<!-->).
func (h *htmlScanner) inComment(p []byte) (rest []byte) {
	if h.state == htmlDeclaration && len(h.tag) < len("<!--") {
		if h.tag = append(h.tag, p[0]); string(h.tag) == "<!--" {
			h.state = htmlComment
			h.hidden.Write([]byte(" "))
			return p[1:]
		}
		if p[0] != '>' {
			h.hidden.Write(p[:1])
			return p[1:]
		}
	}
	n := bytes.IndexByte(p, '>')
	piece := p
	if n >= 0 {
		piece = p[:n+1]
	}
	last := piece[max(0, len(piece)-maxTail):]
	h.tag = append(h.tag, last...)
	h.tag = append(h.tag[:0], h.tag[max(0, len(h.tag)-maxTail):]...)
	h.hidden.Write(piece)
	if n >= 0 && (h.state == htmlDeclaration || bytes.HasSuffix(h.tag, []byte("-->")) || bytes.HasSuffix(h.tag, []byte("--!>"))) {
		h.state = htmlText
		h.endHidden()
	}
	return p[len(piece):]
}

// maxTail is what of a comment is kept to tell its end.
const maxTail = len("--!>")

// inRaw takes what may end a script or style, and returns the rest.
func (h *htmlScanner) inRaw(p []byte) (rest []byte) {
	n := len(h.tag)
	switch c := p[0]; {
	case n < len(h.raw) && c|0x20 == h.raw[n]|0x20:
		h.tag = append(h.tag, c)
		return p[1:]
	case n == len(h.raw) && (c == '>' || c == '/' || mail.Class[c] == mail.ClassSpace || c == '\f'):
		h.endHidden()
		h.state, h.quote, h.value = htmlTag, 0, false
	default: // it ends nothing
		h.hidden.Write(h.tag)
		h.state = htmlRaw
	}
	return p
}

// Close ends the text. A tag that is still open may have been none.
func (h *htmlScanner) Close() error {
	switch h.state {
	case htmlTag:
		h.text.Write(h.tag)
	case htmlRawOpened:
		h.hidden.Write(h.tag)
	}
	h.hidden.Close()
	return h.text.Close()
}

// A tagKind is what a tag does to the text that it stands in. Most end a line.
type tagKind int

const (
	tagInline tagKind = iota + 1 // it ends no word, as a rule
	tagLink                      // the same, and it may write to somebody
	tagRaw                       // it shows nothing, and no tag begins inside
	tagSilent                    // it shows nothing
)

var tagKinds = func() map[string]tagKind {
	kinds := map[string]tagKind{"a": tagLink, "area": tagLink, "script": tagRaw, "style": tagRaw, "wbr": tagSilent}
	for name := range strings.FieldsSeq("abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark nobr o:p q s samp small span strong strike sub sup time tt u var") {
		kinds[name] = tagInline
	}
	return kinds
}()

// endTag takes a tag that is complete.
func (h *htmlScanner) endTag() {
	inside, closes := bytes.CutPrefix(h.tag[1:], []byte("/"))
	n := 0
	for n < len(inside) && inside[n] > ' ' && inside[n] != '/' && inside[n] != '>' {
		n++
	}
	name := inside[:n]
	if bytes.IndexByte(name, '@') >= 0 { // <ann@example.org>, its < not encoded
		h.text.Write(h.tag)
		return
	}
	kind := tagKinds[string(name)]
	if kind == 0 {
		kind = tagKinds[string(bytes.ToLower(name))]
	}
	switch kind {
	case tagInline, tagLink:
		h.text.seam()
	case 0:
		h.text.endLine()
	}
	switch {
	case closes:
	case kind == tagLink:
		h.link()
	case kind == tagRaw:
		h.state, h.raw = htmlRaw, "</"+string(name)
	}
}

// attribute returns an attribute of the tag, or "".
func (h *htmlScanner) attribute(name string) string {
	tag := h.tag
	if len(tag) == maxTag {
		tag = append(bytes.Clone(tag), `'">`...)
	}
	z := html.NewTokenizer(bytes.NewReader(tag))
	z.Next()
	for _, a := range z.Token().Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// link shows whom a mailto: link writes to (RFC 6068), as if each stood in the text
// in angle brackets.
func (h *htmlScanner) link() {
	if !bytes.ContainsAny(h.tag, "@%&") {
		return
	}
	scheme, to, _ := strings.Cut(strings.TrimSpace(h.attribute("href")), ":")
	if !strings.EqualFold(scheme, "mailto") {
		return
	}
	to, query, _ := strings.Cut(strings.TrimPrefix(to, "//"), "?")
	list := []string{mail.UnescapeURL(to)}
	for pair := range strings.SplitSeq(query, "&") {
		if key, value, _ := strings.Cut(pair, "="); slices.Contains([]string{"to", "cc", "bcc"}, strings.ToLower(key)) {
			list = append(list, mail.UnescapeURL(value))
		}
	}
	for one := range strings.FieldsFuncSeq(strings.Join(list, ","), func(r rune) bool { return r == ',' || r == ';' }) {
		h.hidden.Write([]byte(" <" + html.EscapeString(strings.TrimSpace(one)) + "> "))
	}
	h.endHidden()
}

// endHidden ends a piece of what is hidden: it has nothing to do with the next one.
func (h *htmlScanner) endHidden() {
	h.hidden.endLine()
	h.hidden.ids = idSkipper{}
}
