package policy

import (
	"bytes"
	"slices"
)

// A header is the header section of a message (RFC 5322 section 2.2) as the
// bytes that came, with the places of its fields. It is never serialised
// again: what is written is raw, less the bytes that a rewrite cuts out.
type header struct {
	raw    []byte
	fields []field
	defect defect
}

// A field is one header field: raw[start:end] is all of it, folded lines and
// the final line end included, raw[value:end] what follows its colon.
type field struct {
	start, value, end int
	kind              fieldKind
}

// A defect says why a header cannot be read as one. The zero value is none.
type defect struct {
	line int  // the first line is 1
	bare bool // a CR or LF stands alone in it
}

func (h *header) body(f field) []byte { return h.raw[f.value:f.end] }

// bodies returns what follows the colon in each field of a kind.
func (h *header) bodies(kind fieldKind) (values [][]byte) {
	for _, f := range h.fields {
		if f.kind == kind {
			values = append(values, h.body(f))
		}
	}
	return values
}

// parseHeader finds the fields of a header that ends with raw or at its first
// empty line, whichever comes first. It reads on past a defect, so that what
// can be counted is counted, and keeps the first one.
//
// Only CRLF ends a line: a bare CR or LF is a defect, since the next reader
// may take it for a line end where we do not. So is a line that is neither a
// field nor the continuation of one: Postfix and others take it for the end of
// the header, others for the start of a further field.
func parseHeader(raw []byte) header {
	h := header{raw: raw}
	h.fields = make([]field, 0, 24)
	for pos, line := 0, 1; pos < len(raw); line++ {
		end := lineEnd(raw, pos)
		text := bytes.TrimSuffix(raw[pos:end], crlf)
		if len(text) == 0 {
			// Some programs skip an empty line at the very start; a field
			// behind it is one for them, or text that is shown.
			if line == 1 && nameEnd(bytes.TrimSuffix(raw[end:lineEnd(raw, end)], crlf)) > 0 {
				h.defective(line, false)
			}
			break
		}
		if bytes.IndexByte(text, '\r') >= 0 || bytes.IndexByte(text, '\n') >= 0 {
			h.defective(line, true)
		}
		switch colon := nameEnd(text); {
		case colon > 0:
			h.fields = append(h.fields, field{pos, pos + colon + 1, end, kindOf(bytes.TrimRight(text[:colon], " \t"))})
		case len(h.fields) > 0 && isBlank(text[0]):
			h.fields[len(h.fields)-1].end = end
		case line == 1 && isMboxFrom(text):
			// What a mailbox file puts before a message; servers drop it.
		default:
			h.defective(line, false)
		}
		pos = end
	}
	return h
}

func (h *header) defective(line int, bare bool) {
	if h.defect.line == 0 {
		h.defect = defect{line, bare}
	}
}

var crlf = []byte("\r\n")

// lineEnd returns where the line that starts at pos ends, its CRLF included.
func lineEnd(raw []byte, pos int) int {
	for i := pos; ; {
		n := bytes.IndexByte(raw[i:], '\n')
		if n < 0 {
			return len(raw)
		}
		i += n + 1
		if i-2 >= pos && raw[i-2] == '\r' {
			return i
		}
	}
}

// nameEnd returns the place of the colon after a field name, or -1: a name is
// printable US-ASCII (RFC 5322 section 2.2); white space before the colon is
// obsolete (section 4.5) and still read by mail clients.
func nameEnd(text []byte) int {
	i := 0
	for i < len(text) && text[i] > ' ' && text[i] < 0x7f && text[i] != ':' {
		i++
	}
	name := i
	for i < len(text) && isBlank(text[i]) {
		i++
	}
	if name == 0 || i == len(text) || text[i] != ':' {
		return -1
	}
	return i
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// isMboxFrom reports a line as mbox files put before each message (RFC 4155),
// perhaps quoted: Postfix and sendmail accept it from clients and drop it.
func isMboxFrom(text []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(text, ">"), []byte("From "))
}

func (h *header) has(kind fieldKind) bool {
	return slices.ContainsFunc(h.fields, func(f field) bool { return f.kind == kind })
}

func (h *header) hasResent() bool {
	return slices.ContainsFunc(h.fields, func(f field) bool {
		name := h.raw[f.start:f.value]
		return len(name) > len("resent-") && bytes.EqualFold(name[:len("resent-")], []byte("resent-"))
	})
}
