package body

import (
	"bytes"
	"strings"

	"sendguard/policy/mail"
)

// isXML reports what begins like XML, in lower case.
func isXML(start []byte) bool {
	start = bytes.TrimLeft(start, byteOrder)
	return bytes.HasPrefix(start, []byte("<?xml")) || bytes.HasPrefix(start, []byte("<")) && bytes.Contains(start, []byte("xmlns"))
}

// xmlParts are the local names of the tags that part words, in the XML of Office
// (ECMA-376) and OpenDocument: those of paragraphs, breaks, tabs, cells and strings.
// All others may stand inside of a word, as those of runs do: a program splits an
// address wherever a letter has another colour, another language or another date.
var xmlParts = func() map[string]bool {
	parts := map[string]bool{}
	for name := range strings.FieldsSeq("p h tab br cr line-break s tc tr row c si comment text f v pt table-cell table-row list-item") {
		parts[name] = true
	}
	return parts
}()

// keptTag is more than the name of a tag: it stays where a long one is passed on.
const keptTag = 64

// endXMLTag takes a tag that is complete. Attributes show addresses: to whom a link
// writes, who wrote a comment.
func (h *htmlScanner) endXMLTag(name []byte) {
	local := name[bytes.LastIndexByte(name, ':')+1:]
	if xmlParts[string(local)] {
		h.text.endLine()
	} else {
		h.seam()
	}
	if h.told > 0 || bytes.ContainsAny(h.tag, "@%&") {
		h.tellTag()
		h.endHidden()
	}
	h.told = 0
}

// tellTag passes on what is held of a tag.
func (h *htmlScanner) tellTag() {
	rest := h.tag[h.told:]
	if bytes.IndexByte(rest, '%') >= 0 && bytes.Contains(rest, []byte("mailto:")) {
		rest = []byte(mail.UnescapeURL(string(rest)))
	}
	h.hidden.Write(rest)
	h.told = min(len(h.tag), keptTag)
	h.tag = h.tag[:h.told]
}
