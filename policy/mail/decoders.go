package mail

import (
	"bytes"
	"encoding/base64"
	"io"

	"golang.org/x/text/transform"
)

// A CharsetDecoder writes text on in UTF-8.
type CharsetDecoder struct {
	*transform.Writer
	To io.Closer
}

func (d *CharsetDecoder) Close() error {
	d.Writer.Close()
	return d.To.Close()
}

// A Base64Decoder undoes base64 as it streams past; the standard library's
// decoder has to be the one who reads. Characters outside of the alphabet are
// passed over (RFC 2045 section 6.8), and what follows padding begins anew.
type Base64Decoder struct {
	To    io.WriteCloser
	group []byte // fewer than four characters
	Out   []byte
}

func (d *Base64Decoder) Write(p []byte) (int, error) {
	if n := base64.StdEncoding.DecodedLen(len(p)); cap(d.Out) < n {
		d.Out = make([]byte, n)
	}
	if len(d.group) == 0 {
		if n, err := base64.StdEncoding.Decode(d.Out[:cap(d.Out)], p); err == nil {
			d.To.Write(d.Out[:n])
			return len(p), nil
		}
	}
	out := d.Out[:0]
	for _, c := range p {
		if isBase64(rune(c)) {
			d.group = append(d.group, c)
		}
		if len(d.group) == 4 || c == '=' {
			out = d.flush(out)
		}
	}
	d.Out = out
	d.To.Write(out)
	return len(p), nil
}

// flush appends what the group says to out.
func (d *Base64Decoder) flush(out []byte) []byte {
	if len(d.group) > 1 {
		out, _ = base64.RawStdEncoding.AppendDecode(out, d.group)
	}
	d.group = d.group[:0]
	return out
}

func (d *Base64Decoder) Close() error {
	d.To.Write(d.flush(nil))
	return d.To.Close()
}

// A QuotedPrintableDecoder undoes quoted-printable (RFC 2045 section 6.7) as it
// streams past. It is given lines, or pieces of long ones. An = that encodes
// nothing stands for itself.
type QuotedPrintableDecoder struct {
	To   io.WriteCloser
	Rest []byte // of a piece: the start of an encoded byte
	Out  []byte
}

func (d *QuotedPrintableDecoder) Write(p []byte) (int, error) {
	line := p
	if len(d.Rest) > 0 {
		line = append(d.Rest, p...)
	}
	ended := line[len(line)-1] == '\n'
	if ended {
		end := len(line)
		for end > 0 && (Class[line[end-1]] == ClassSpace) {
			end--
		}
		line = line[:end]
	}
	out := d.Out[:0]
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
	d.Rest = d.Rest[:0]
	switch {
	case !ended:
		d.Rest = append(d.Rest, line[i:]...)
	case !soft:
		out = append(out, CRLF...)
	}
	d.Out = out
	d.To.Write(out)
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

func (d *QuotedPrintableDecoder) Close() error {
	d.To.Write(d.Rest)
	return d.To.Close()
}

// An Unfolder joins folded lines.
type Unfolder struct {
	To    io.WriteCloser
	ended bool // a line has, and was not passed on yet
}

func (u *Unfolder) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		switch {
		case u.ended && IsBlank(rest[0]):
			rest = rest[1:]
		case u.ended:
			u.To.Write([]byte("\n"))
		}
		var line []byte
		line, rest, u.ended = bytes.Cut(rest, []byte("\n"))
		u.To.Write(bytes.TrimRight(line, "\r"))
	}
	return len(p), nil
}

func (u *Unfolder) Close() error { return u.To.Close() }

// A closingBuffer takes what a decoder writes on.
type closingBuffer struct{ bytes.Buffer }

func (*closingBuffer) Close() error { return nil }

// decodeQuotedPrintable decodes the start of a body at once.
func decodeQuotedPrintable(body []byte) []byte {
	var text closingBuffer
	d := &QuotedPrintableDecoder{To: &text}
	for line := range bytes.Lines(body) {
		d.Write(line)
	}
	d.Close()
	return text.Bytes()
}
