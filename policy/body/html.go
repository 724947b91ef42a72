package body

import (
	"bytes"
	"io"
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
// some mail clients show the one or the other. No tag begins there.
//
// XML is read the same way, but for its tags: see endXMLTag.
type htmlScanner struct {
	xml    bool
	text   *textScanner
	hidden *textScanner // that is not shown by all
	state  htmlState
	tag    []byte // from its < on, as far as it matters; of what is hidden, its last bytes
	end    string // what stands before the > that ends what is hidden
	told   int    // so much of the tag was passed on already
	quote  byte   // that is open in the tag
	value  bool   // an = was the last that the tag said
}

type htmlState int

const (
	htmlText   htmlState = iota
	htmlOpened           // a < was the last byte
	htmlTag
	htmlHidden // a declaration, comment, script or style
)

// maxTag is what is held of a tag. Longer ones hold pictures.
const maxTag = 4 << 10

func newHTMLScanner(s *Counter, xml bool) *htmlScanner {
	return &htmlScanner{xml: xml, text: &textScanner{scan: s, html: true}, hidden: &textScanner{scan: s, html: true}}
}

// Write takes HTML, cut anywhere; it cannot fail.
func (h *htmlScanner) Write(source []byte) (int, error) {
	for p := withoutZeros(source); len(p) > 0; {
		switch h.state {
		case htmlText:
			n := bytes.IndexByte(p, '<')
			if n < 0 {
				h.text.Write(p)
				return len(source), nil
			}
			h.text.Write(p[:n])
			h.state, p = htmlOpened, p[n+1:]
		case htmlOpened:
			h.tag, h.quote, h.value = append(h.tag[:0], '<'), 0, false
			if c := p[0]; c == '/' || c == '!' || c == '?' || 'a' <= c|0x20 && c|0x20 <= 'z' {
				h.state = htmlTag
			} else {
				h.state = htmlText
				h.text.Write(h.tag)
			}
		case htmlTag:
			p = p[h.inTag(p):]
		case htmlHidden:
			p = p[h.inHidden(p):]
		}
	}
	return len(source), nil
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
		h.hold(p[i : i+1])
		switch {
		case h.quote != 0:
			h.quote = 0
		case c == '>':
			h.state = htmlText
			h.endTag()
			return i + 1
		case len(h.tag) == len("<!--") && (h.tag[1] == '!' || h.tag[1] == '?'):
			h.declare()
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
	if h.xml && len(h.tag)+len(p) > maxTag {
		h.tellTag()
	}
	h.tag = append(h.tag, p[:min(len(p), maxTag-len(h.tag))]...)
}

// declare begins a comment, or a declaration: that shows nothing, either. A comment
// may end where it began (<!-->).
func (h *htmlScanner) declare() {
	h.state, h.end = htmlHidden, ""
	if string(h.tag) == "<!--" {
		h.end, h.tag = "--", append(h.tag[:0], "--"...)
	} else {
		h.hidden.Write(h.tag[2:])
	}
}

// inHidden takes what belongs to what is hidden and returns how much that is.
func (h *htmlScanner) inHidden(p []byte) int {
	n := bytes.IndexByte(p, '>') + 1
	if n == 0 {
		n = len(p)
	}
	h.hidden.Write(p[:n])
	h.tag = append(h.tag, p[max(0, n-maxEnd):n]...)
	h.tag = append(h.tag[:0], h.tag[max(0, len(h.tag)-maxEnd):]...)
	if before, ended := bytes.CutSuffix(h.tag, []byte(">")); ended && h.ends(before) {
		h.state = htmlText
		h.endHidden()
		h.seam()
	}
	return n
}

// ends reports what ends what is hidden. Blanks may follow the name of a script, and
// a ! the hyphens of a comment.
func (h *htmlScanner) ends(before []byte) bool {
	if h.end == "--" {
		return bytes.HasSuffix(bytes.TrimSuffix(before, []byte("!")), []byte("--"))
	}
	return hasSuffixFold(bytes.TrimRight(before, " \t\r\n\f"), h.end)
}

// maxEnd is more than the end of a script.
const maxEnd = 32

// Close ends the text. A tag that is still open may have been none.
func (h *htmlScanner) Close() error {
	if h.state == htmlTag {
		h.text.Write(h.tag)
	}
	h.hidden.Close()
	return h.text.Close()
}

// A tagKind is what a tag does to the text that it stands in. Most end a line.
type tagKind int

const (
	tagInline tagKind = iota + 1 // it ends no word, as a rule
	tagLink                      // the same, and it may write to somebody
	tagRaw                       // the same, and no tag begins inside
)

var tagKinds = func() map[string]tagKind {
	kinds := map[string]tagKind{"a": tagLink, "area": tagLink, "script": tagRaw, "style": tagRaw}
	for name := range strings.FieldsSeq("abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark nobr o:p q s samp small span strong strike sub sup time tt u var wbr") {
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
	if h.xml {
		h.endXMLTag(name)
		return
	}
	if bytes.IndexByte(name, '@') >= 0 { // <ann@example.org>, its < not encoded
		h.text.Write(h.tag)
		return
	}
	kind := tagKinds[string(name)]
	if kind == 0 {
		kind = tagKinds[string(bytes.ToLower(name))]
	}
	if kind != 0 {
		h.seam()
	} else {
		h.text.endLine()
	}
	switch {
	case closes:
	case kind == tagLink:
		h.link()
	case kind == tagRaw:
		h.state, h.end, h.tag = htmlHidden, "</"+string(name), h.tag[:0]
	}
}

// link shows whom a mailto: link writes to (RFC 6068), as if each stood in the text
// in angle brackets.
func (h *htmlScanner) link() {
	if !bytes.ContainsAny(h.tag, "@%&") {
		return
	}
	hash := hashAs(h.tag, true, true, h.text.scan.inside > 0, true)
	place, known := h.text.scan.recent.text(hash)
	if *place = hash; known {
		return
	}
	z := html.NewTokenizer(io.MultiReader(bytes.NewReader(h.tag), strings.NewReader(`'">`))) // it may have been cut
	z.Next()
	attributes := z.Token().Attr
	href := slices.IndexFunc(attributes, func(a html.Attribute) bool { return a.Key == "href" })
	if href < 0 {
		return
	}
	scheme, to, _ := strings.Cut(strings.TrimSpace(attributes[href].Val), ":")
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

// seam marks where two words may meet.
func (h *htmlScanner) seam() {
	if n := len(h.text.line); n > 0 && h.text.line[n-1] != seam {
		h.text.Write(oneSeam)
	}
}

// endHidden ends a piece of what is hidden: it has nothing to do with the next one.
func (h *htmlScanner) endHidden() {
	h.hidden.endLine()
	h.hidden.ids = idSkipper{}
}
