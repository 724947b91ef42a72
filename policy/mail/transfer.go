package mail

import (
	"bytes"
	"encoding/base64"
	"io"
)

// undo puts before a reader of content what undoes transfer encodings, the first
// of them first.
func undo(names []string, to io.WriteCloser) io.WriteCloser {
	for i := len(names) - 1; i >= 0; i-- {
		switch {
		case names[i] == "base64":
			to = &base64Decoder{to: to}
		case i == 0:
			to = &quotedPrintableDecoder{to: to}
		default: // what is undone before it does not come by lines
			to = newLineWriter(&quotedPrintableDecoder{to: to})
		}
	}
	return to
}

// decode undoes transfer encodings at once. Where text is not the last of it, what
// the end of it says may depend on what follows: it is left out, so that more text
// only adds to the result.
func decode(text []byte, names []string, last bool) []byte {
	var out closingBuffer
	to := newLineWriter(undo(names, &out))
	to.Write(text)
	if last {
		to.Close()
	}
	return out.Bytes()
}

// A lineWriter passes text on line by line.
type lineWriter struct {
	lineCutter
	to io.WriteCloser
}

func newLineWriter(to io.WriteCloser) *lineWriter {
	return &lineWriter{lineCutter{max: maxLine, line: func(p []byte, _ bool) { to.Write(p) }}, to}
}

func (w *lineWriter) Close() error {
	w.flush()
	return w.to.Close()
}

// A base64Decoder undoes base64 as it streams past; the standard library's
// decoder has to be the one who reads. Characters outside of the alphabet are
// passed over (RFC 2045 section 6.8), and what follows padding begins anew.
type base64Decoder struct {
	to    io.WriteCloser
	group []byte // fewer than four characters
	out   []byte
}

func (d *base64Decoder) Write(p []byte) (int, error) {
	if n := base64.StdEncoding.DecodedLen(len(p)); cap(d.out) < n {
		d.out = make([]byte, n)
	}
	if len(d.group) == 0 {
		if n, err := base64.StdEncoding.Decode(d.out[:cap(d.out)], p); err == nil {
			d.to.Write(d.out[:n])
			return len(p), nil
		}
	}
	out := d.out[:0]
	for _, c := range p {
		if isBase64(rune(c)) {
			d.group = append(d.group, c)
		}
		if len(d.group) == 4 || c == '=' {
			out = d.flush(out)
		}
	}
	d.out = out
	d.to.Write(out)
	return len(p), nil
}

// flush appends what the group says to out.
func (d *base64Decoder) flush(out []byte) []byte {
	if len(d.group) > 1 {
		out, _ = base64.RawStdEncoding.AppendDecode(out, d.group)
	}
	d.group = d.group[:0]
	return out
}

func (d *base64Decoder) Close() error {
	d.to.Write(d.flush(nil))
	return d.to.Close()
}

// A quotedPrintableDecoder undoes quoted-printable (RFC 2045 section 6.7) as it
// streams past. It is given lines, or pieces of long ones. An = that encodes
// nothing stands for itself.
type quotedPrintableDecoder struct {
	to   io.WriteCloser
	rest []byte // of a piece: the start of an encoded byte
	out  []byte
}

func (d *quotedPrintableDecoder) Write(p []byte) (int, error) {
	line := p
	if len(d.rest) > 0 {
		line = append(d.rest, p...)
	}
	ended := line[len(line)-1] == '\n'
	if ended {
		end := len(line)
		for end > 0 && (Class[line[end-1]] == ClassSpace) {
			end--
		}
		line = line[:end]
	}
	out := d.out[:0]
	soft := false
	i := 0
	for ; i < len(line); i++ {
		if line[i] == '=' {
			if i+2 >= len(line) && !ended {
				break
			}
			if soft = i == len(line)-1; soft {
				break
			}
			if c, ok := encodedByte(line[i:]); ok {
				out = append(out, c)
				i += 2
				continue
			}
		}
		out = append(out, line[i])
	}
	d.rest = d.rest[:0]
	switch {
	case !ended:
		d.rest = append(d.rest, line[i:]...)
	case !soft:
		out = append(out, CRLF...)
	}
	d.out = out
	d.to.Write(out)
	return len(p), nil
}

// encodedByte decodes =41 at the start of text.
func encodedByte(text []byte) (c byte, ok bool) {
	if len(text) < 3 {
		return 0, false
	}
	hi, ok1 := unhex(text[1])
	lo, ok2 := unhex(text[2])
	return hi<<4 | lo, ok1 && ok2
}

func (d *quotedPrintableDecoder) Close() error {
	d.to.Write(d.rest)
	return d.to.Close()
}

// A closingBuffer takes what a decoder writes on.
type closingBuffer struct{ bytes.Buffer }

func (*closingBuffer) Close() error { return nil }
