package mail

import (
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// A teller notes what a walk tells.
type teller struct {
	raw  bool
	said []string
}

func (t *teller) Delimiter(*Part) { t.said = append(t.said, "--") }

func (t *teller) HeaderLine(p *Part, line []byte, begins bool) {
	t.said = append(t.said, fmt.Sprintf("header %q", line))
}

func (t *teller) Content(p *Part) (io.WriteCloser, bool) {
	name := strings.Join(p.MediaTypes(), ",")
	if p.Again {
		name += " again"
	}
	t.said = append(t.said, "part "+name)
	return &taken{teller: t, name: name}, !t.raw
}

// taken is the content of a part; it is told when it ends.
type taken struct {
	*teller
	name string
	text []byte
}

func (t *taken) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	return len(p), nil
}

func (t *taken) Close() error {
	t.said = append(t.said, fmt.Sprintf("%s: %q", t.name, t.text))
	return nil
}

func walkThrough(message string, size int, l Listener) *Walk {
	message = strings.ReplaceAll(message, "\n", "\r\n")
	header, body, _ := strings.Cut(message, "\r\n\r\n")
	h := ParseHeader([]byte(header + "\r\n\r\n"))
	w := NewWalk(&h, l)
	for piece := range slices.Chunk([]byte(body), size) {
		w.Write(piece)
	}
	return w
}

func TestAWalkTellsOfPartsInTheirOrder(t *testing.T) {
	for name, c := range map[string]struct{ message, want string }{
		"one part": {"Subject: x\n\nHello\n", `part |: "Hello\r\n"`},
		"a multipart, with what stands round its parts": {
			"Content-Type: multipart/mixed; boundary=b\n\nbefore\n--b\nX: y\n\nHello\n--b\nContent-Type: Text / HTML\n\n<p>\n--b--\nbehind\n",
			`part multipart/mixed|--|header "X: y\r\n"|header "\r\n"|part |: "Hello\r\n"|--|header "Content-Type: Text / HTML\r\n"|header "\r\n"|part text/html|text/html: "<p>\r\n"|--|multipart/mixed: "before\r\nbehind\r\n"`},
		"a boundary that is not named is the first that comes": {
			"Content-Type: multipart/mixed\n\n--what\n\nHello\n--what--\n", `part multipart/mixed|--|header "\r\n"|part |: "Hello\r\n"|--|multipart/mixed: ""`},
		"the boundary of an outer multipart ends an inner one": {
			"Content-Type: multipart/a; boundary=a\n\n--a\nContent-Type: multipart/b; boundary=b\n\n--b\n\nx\n--a\n\ny\n",
			`part multipart/a|--|header "Content-Type: multipart/b; boundary=b\r\n"|header "\r\n"|part multipart/b|--|header "\r\n"|part |: "x\r\n"|multipart/b: ""|--|header "\r\n"|part |: "y\r\n"|multipart/a: ""`},
		"a header that does not end properly is text from there on": {
			"Content-Type: multipart/mixed; boundary=b\n\n--b\nX: y\nHello all\n--b--\n",
			`part multipart/mixed|--|header "X: y\r\n"|part |: "Hello all\r\n"|--|multipart/mixed: ""`},
		"a header that a delimiter cuts short is told": {
			"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/calendar\n--b--\n",
			`part multipart/mixed|--|header "Content-Type: text/calendar\r\n"|part text/calendar|text/calendar: ""|--|multipart/mixed: ""`},
		"a message inside": {
			"Content-Type: message/rfc822\n\nContent-Type: text/html\n\n<p>\n",
			`part message/rfc822|message/rfc822: ""|header "Content-Type: text/html\r\n"|header "\r\n"|part text/html|text/html: "<p>\r\n"`},
		"a message inside, in base64": {
			"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n" + base64.StdEncoding.EncodeToString([]byte("Subject: x\n\nHello\n")) + "\n",
			`part message/rfc822|header "Subject: x\n"|header "\n"|part |message/rfc822: "Subject: x\n\nHello\n"|: "Hello\n"`},
		"two transfer encodings: the first alone, the last alone, and all in order": {
			"Content-Transfer-Encoding: quoted-printable\nContent-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: (c) BASE64\n\nSGk=3D\n",
			`part |part  again|part  again|: "SGk=\r\n"| again: "Hi\xdc"| again: "Hi"`},
		"the same transfer encoding twice is one": {
			"Content-Transfer-Encoding: base64\nContent-Transfer-Encoding: base64\n\nSGk=\n", `part |: "Hi"`},
	} {
		for _, size := range []int{1, 3, 1000} {
			var l teller
			walkThrough(c.message, size, &l).Close()
			if got := strings.Join(l.said, "|"); got != c.want {
				t.Errorf("%s, in pieces of %d:\ngot  %s\nwant %s", name, size, got, c.want)
			}
		}
	}
}

func TestAWalkTellsContentAsItCameToWhoeverWantsThat(t *testing.T) {
	l := teller{raw: true}
	walkThrough("Content-Transfer-Encoding: base64\n\nSGk=\n", 5, &l).Close()
	if got := strings.Join(l.said, "|"); got != `part |: "SGk=\r\n"` {
		t.Error(got)
	}
}

// silent listens and holds nothing.
type silent struct{}

func (silent) Delimiter(*Part)                      {}
func (silent) HeaderLine(*Part, []byte, bool)       {}
func (silent) Content(*Part) (io.WriteCloser, bool) { return nothing{}, true }

type nothing struct{}

func (nothing) Write(p []byte) (int, error) { return len(p), nil }
func (nothing) Close() error                { return nil }

// TestAWalkHoldsNoMoreThanItTells, whatever comes: what is over its bounds is
// dropped, passed on in pieces, or too much to be followed.
func TestAWalkHoldsNoMoreThanItTells(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	encoded := "Subject: x\n\nx\n"
	for range maxWalks + 1 {
		encoded = "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n" + base64.StdEncoding.EncodeToString([]byte(encoded)) + "\n"
	}
	for name, message := range map[string]string{
		"a line":            "Subject: x\n\n" + long,
		"a field":           "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; x=\"" + strings.Repeat(long+"\n ", 10),
		"fields":            "Content-Type: multipart/mixed; boundary=b\n\n--b\n" + strings.Repeat("Content-Type: "+long+"\n", 10),
		"a boundary":        "Content-Type: multipart/mixed\n\n--" + long + "\n",
		"nested multiparts": strings.Repeat("Content-Type: multipart/mixed; boundary=b\n\n--b\n", 100),
		"nested messages":   encoded,
		"quoted-printable":  "Content-Transfer-Encoding: quoted-printable\n\n" + strings.Repeat("=", 100_000),
		"base64":            "Content-Transfer-Encoding: base64\n\n" + long,
	} {
		w := walkThrough(message, 1<<20, silent{})
		if held := w.held(); held > w.Memory() || w.Memory() > maxWalks*walkMemory {
			t.Errorf("%s: holds %d, tells %d", name, held, w.Memory())
		}
		if beyond := strings.HasPrefix(name, "nested"); w.Beyond() != beyond {
			t.Errorf("%s: beyond %v", name, !beyond)
		}
		w.Close()
	}
}

// held is what a walk really holds, as far as it can grow.
func (w *Walk) held() int {
	n := cap(w.lines.held) + cap(w.field)
	for _, list := range [][]string{w.part.types, w.part.encodings, w.part.dispositions} {
		for _, value := range list {
			n += len(value)
		}
	}
	for _, l := range w.open {
		n += len(l.boundary)
	}
	for _, to := range w.content.to {
		n += held(to)
	}
	return n
}

func held(w io.Writer) int {
	switch w := w.(type) {
	case *base64Decoder:
		return cap(w.out) + held(w.to)
	case *quotedPrintableDecoder:
		return cap(w.out) + cap(w.rest) + held(w.to)
	case *lineWriter:
		return cap(w.lineCutter.held) + held(w.to)
	case *content:
		n := 0
		for _, to := range w.to {
			n += held(to)
		}
		return n
	case *Walk:
		return w.held()
	}
	return 0
}
