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
// What is in comments, styles and scripts is read as text, too: some mail
// clients show the one or the other.
type htmlScanner struct {
	text  *textScanner
	state htmlState
	tag   []byte // from its < on, as far as it matters
	quote byte   // that is open in the tag
	value bool   // an = was the last that the tag said

	blockquotes int
	quotedDivs  int  // open ones, from one on that holds a quoted message
	isCite      bool // that one says who wrote what follows
}

type htmlState int

const (
	htmlText   htmlState = iota
	htmlOpened           // a < was the last byte
	htmlTag
)

// maxTag is what is held of a tag. Longer ones hold pictures.
const maxTag = 4 << 10

// Write takes HTML, cut anywhere; it cannot fail.
func (h *htmlScanner) Write(p []byte) (int, error) {
	for i := 0; i < len(p); {
		switch h.state {
		case htmlText:
			n := bytes.IndexByte(p[i:], '<')
			if n < 0 {
				h.show(p[i:])
				return len(p), nil
			}
			h.show(p[i : i+n])
			h.state = htmlOpened
			i += n + 1
		case htmlOpened:
			if c := p[i]; c == 0 {
				i++ // of UTF-16
			} else if c == '/' || 'a' <= c|0x20 && c|0x20 <= 'z' {
				h.state, h.tag, h.quote, h.value = htmlTag, append(h.tag[:0], '<'), 0, false
			} else {
				h.state = htmlText
				h.show([]byte("<"))
			}
		case htmlTag:
			i += h.inTag(p[i:])
		}
	}
	return len(p), nil
}

// inTag takes what belongs to the tag at hand and returns how much that is.
func (h *htmlScanner) inTag(p []byte) int {
	for i, c := range p {
		if c == 0 {
			continue
		}
		if len(h.tag) < maxTag {
			h.tag = append(h.tag, c)
		}
		switch {
		case h.quote != 0:
			if c == h.quote {
				h.quote = 0
			}
		case c == '>':
			h.state = htmlText
			h.endTag()
			return i + 1
		case h.value && (c == '"' || c == '\''):
			h.quote = c
		}
		h.value = h.quote == 0 && (c == '=' || h.value && mail.Class[c] == mail.ClassSpace)
	}
	return len(p)
}

// Close ends the text. A tag that is still open may have been none.
func (h *htmlScanner) Close() error {
	if h.state == htmlTag {
		h.show(h.tag)
	}
	return h.text.Close()
}

// show passes text on, where it is not quoted.
func (h *htmlScanner) show(text []byte) {
	if h.blockquotes == 0 && h.quotedDivs == 0 {
		h.text.Write(text)
	}
}

// inlineTags do not end a word.
var inlineTags = strings.Fields("a abbr b big code em font i mark o:p s small span strong strike sub sup tt u wbr")

// endTag takes a tag that is complete.
func (h *htmlScanner) endTag() {
	inside := bytes.TrimSuffix(h.tag[1:], []byte(">"))
	inside, closes := bytes.CutPrefix(inside, []byte("/"))
	n := bytes.IndexAny(inside, " \t\r\n\f/>")
	if n < 0 {
		n = len(inside)
	}
	name := strings.ToLower(string(inside[:n]))
	if strings.Contains(name, "@") { // <ann@example.org>, its < not encoded
		h.show(h.tag)
		return
	}
	if !slices.Contains(inlineTags, name) {
		h.text.endLine()
	}
	switch {
	case name == "blockquote":
		h.blockquote(closes)
	case closes && name == "div" && h.blockquotes == 0:
		h.endDiv()
	case !closes && (name == "a" || name == "area"):
		h.link()
	case !closes:
		h.divider(name)
	}
}

func (h *htmlScanner) blockquote(closes bool) {
	switch {
	case h.text.reply == nil, !closes && h.blockquotes == 0 && h.indents():
	case !closes:
		h.blockquotes++
		h.text.reply.wrote = false // what it says is in here
	case h.blockquotes > 0:
		h.blockquotes--
	}
}

// indents reports a blockquote that only moves text to the right, as Gmail and
// Apple Mail write it. Outlook's quotes have a border on one side.
func (h *htmlScanner) indents() bool {
	style := strings.ReplaceAll(h.attribute("style"), " ", "")
	return strings.Contains(style, "border:none") && !strings.Contains(style, "border-") && h.attribute("type") == ""
}

func (h *htmlScanner) endDiv() {
	if h.quotedDivs == 0 {
		return
	}
	if h.quotedDivs--; h.quotedDivs == 0 && h.isCite {
		h.text.reply.wrote = true
	}
}

// divider notes where a mail client says that a quoted message begins: inside
// of an element, or from there on.
func (h *htmlScanner) divider(name string) {
	reply := h.text.reply
	switch {
	case reply == nil || h.blockquotes > 0 || name != "div" && name != "span":
	case h.quotedDivs > 0:
		if name == "div" {
			h.quotedDivs++
		}
	case name == "div" && h.has("class", "gmail_quote"):
		h.quotedDivs, h.isCite = 1, false
	case name == "div" && h.has("class", "moz-cite-prefix"):
		h.quotedDivs, h.isCite = 1, true
	case h.has("id", "divRplyFwdMsg"), h.has("id", "appendonsend"), h.has("id", "OLK_SRC_BODY_SECTION"):
		reply.commit()
		reply.quoteRest()
	}
}

// has reports whether an attribute of the tag has a word.
func (h *htmlScanner) has(attribute, word string) bool {
	return bytes.Contains(h.tag, []byte(word)) && slices.Contains(strings.Fields(h.attribute(attribute)), word)
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

// link shows whom a mailto: link writes to (RFC 6068), as if it stood in the
// text.
func (h *htmlScanner) link() {
	if !bytes.ContainsAny(h.tag, "@%&") {
		return
	}
	scheme, to, _ := strings.Cut(strings.TrimSpace(h.attribute("href")), ":")
	if !strings.EqualFold(scheme, "mailto") {
		return
	}
	to, query, _ := strings.Cut(to, "?")
	list := []string{mail.UnescapeURL(to)}
	for pair := range strings.SplitSeq(query, "&") {
		if key, value, _ := strings.Cut(pair, "="); slices.Contains([]string{"to", "cc", "bcc"}, strings.ToLower(key)) {
			list = append(list, mail.UnescapeURL(value))
		}
	}
	h.show([]byte(" <" + html.EscapeString(strings.Join(list, ", ")) + "> "))
}
