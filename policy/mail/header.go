package mail

import (
	"bytes"
	"slices"
)

// A Header is the header section of a message (RFC 5322 section 2.2) as the
// bytes that came, with the places of its fields. It is never serialised
// again: what is written is raw, less the bytes that a rewrite cuts out.
type Header struct {
	Raw    []byte
	Fields []Field
	Size   int // in Raw, with the empty line that ends it
	Defect Defect
}

// A Field is one header field: Raw[Start:End] is all of it, folded lines and
// the final line end included, Raw[Value:End] what follows its colon.
type Field struct {
	Start, Value, End int
	Kind              Kind
}

// A Defect says why a header cannot be read as one. The zero value is none.
type Defect struct {
	Line int  // the first line is 1
	Bare bool // a CR or LF stands alone in it
}

// Value is what follows the colon of a field.
func (h *Header) Value(f Field) []byte { return h.Raw[f.Value:f.End] }

// Values returns what follows the colon in each field of a kind.
func (h *Header) Values(kind Kind) (values [][]byte) {
	for _, f := range h.Fields {
		if f.Kind == kind {
			values = append(values, h.Value(f))
		}
	}
	return values
}

// ParseHeader finds the fields of a header that ends with raw or at its first
// empty line, whichever comes first. It reads on past a defect, so that what
// can be counted is counted, and keeps the first one.
//
// Only CRLF ends a line: a bare CR or LF is a defect, since the next reader
// may take it for a line end where we do not. So is a line that is neither a
// field nor the continuation of one: Postfix and others take it for the end of
// the header, others for the start of a further field.
func ParseHeader(raw []byte) Header {
	h := Header{Raw: raw}
	h.Fields = make([]Field, 0, 24)
	for line := 1; h.Size < len(raw); line++ {
		pos, end := h.Size, lineEnd(raw, h.Size)
		h.Size = end
		text := bytes.TrimSuffix(raw[pos:end], CRLF)
		if len(text) == 0 {
			if line == 1 {
				h.lookBehind(bytes.TrimSuffix(raw[end:lineEnd(raw, end)], CRLF))
			}
			break
		}
		if hasBare(text) {
			h.Defective(line, true)
		}
		switch colon := NameEnd(text); {
		case colon > 0:
			h.Fields = append(h.Fields, Field{pos, pos + colon + 1, end, KindOf(bytes.TrimRight(text[:colon], " \t"))})
		case len(h.Fields) > 0 && IsBlank(text[0]):
			h.Fields[len(h.Fields)-1].End = end
		case line == 1 && IsMboxFrom(text):
			// What a mailbox file puts before a message; servers drop it.
		default:
			h.Defective(line, false)
		}
	}
	h.findApplicationFields()
	return h
}

// lookBehind takes the line behind an empty first one, as far as it comes with the
// header. Some programs skip an empty line at the very start; a field behind it is
// one for them, or text that is shown. It is in no body that is looked at.
func (h *Header) lookBehind(line []byte) {
	if NameEnd(line) > 0 {
		h.Defective(1, false)
	}
	if hasBare(line) {
		h.Defective(2, true)
	}
}

// hasBare reports a CR or LF in a line without its end.
func hasBare(line []byte) bool {
	return bytes.IndexByte(line, '\r') >= 0 || bytes.IndexByte(line, '\n') >= 0
}

func (h *Header) Defective(line int, bare bool) {
	if h.Defect.Line == 0 {
		h.Defect = Defect{line, bare}
	}
}

var CRLF = []byte("\r\n")

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

// NameEnd returns the place of the colon after a field name, or -1: a name is
// printable US-ASCII (RFC 5322 section 2.2); white space before the colon is
// obsolete (section 4.5) and still read by mail clients.
func NameEnd(text []byte) int {
	i := 0
	for i < len(text) && text[i] > ' ' && text[i] < 0x7f && text[i] != ':' {
		i++
	}
	name := i
	for i < len(text) && IsBlank(text[i]) {
		i++
	}
	if name == 0 || i == len(text) || text[i] != ':' {
		return -1
	}
	return i
}

func IsBlank(c byte) bool { return c == ' ' || c == '\t' }

// IsMboxFrom reports a line as mbox files put before each message (RFC 4155),
// perhaps quoted: Postfix and sendmail accept it from clients and drop it.
func IsMboxFrom(text []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(text, ">"), []byte("From "))
}

func (h *Header) Has(kind Kind) bool {
	return slices.ContainsFunc(h.Fields, func(f Field) bool { return f.Kind == kind })
}

func (h *Header) HasResent() bool {
	return slices.ContainsFunc(h.Fields, func(f Field) bool {
		name := h.Raw[f.Start:f.Value]
		return len(name) > len("resent-") && bytes.EqualFold(name[:len("resent-")], []byte("resent-"))
	})
}
