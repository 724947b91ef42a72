package body

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"sendguard/policy/internal/casefile"
	"sendguard/policy/mail"
)

// own is the sender's address, which does not count.
func own() *mail.AddressSet {
	set := mail.NewAddressSet()
	set.AddPath("me@home.org")
	return set
}

// scanBody counts what a message shows in its body, which comes in pieces of n
// bytes.
func scanBody(message []byte, n int) *Counter {
	header, body := message, []byte(nil)
	if end := bytes.Index(message, []byte("\r\n\r\n")); end >= 0 {
		header, body = message[:end+4], message[end+4:]
	}
	s := NewCounter(header, own(), false)
	for len(body) > 0 {
		piece := bytes.Clone(body[:min(n, len(body))]) // it does not keep what it was given
		s.Write(piece)
		clear(piece)
		body = body[min(n, len(body)):]
	}
	s.Close()
	return s
}

func TestACountDoesNotDependOnHowTheBodyIsCut(t *testing.T) {
	for _, path := range casefile.Paths(t, "../testdata", "body") {
		message := casefile.Wire(t, casefile.Read(t, path).Message)
		want := scanBody(message, len(message)).Count()
		for _, n := range []int{1, 2, 3, 7, 100, 4096, mail.MaxLine} {
			if got := scanBody(message, n).Count(); got != want {
				t.Errorf("%s: %d in pieces of %d, %d as a whole", path, got, n, want)
			}
		}
	}
}

func TestABodyIsReadAsItIsOnTheWire(t *testing.T) {
	for stuffed, want := range map[bool]int{true: 1, false: 2} {
		s := NewCounter([]byte("Content-Transfer-Encoding: quoted-printable\r\n\r\n"), mail.NewAddressSet(), stuffed)
		for _, piece := range []string{"ann@x.org\r", "\nann@x=\r\n", ".", ".org\r\n"} {
			s.Write([]byte(piece))
		}
		s.Close()
		if s.Count() != want {
			t.Errorf("stuffed %v: %d, want %d", stuffed, s.Count(), want)
		}
	}
}

func TestNoAddressFallsBetweenThePiecesOfALongLine(t *testing.T) {
	const n = 6000
	for _, c := range []struct {
		header, address string
		more            int // than there are may be counted: parts of an address
	}{
		{"text/plain", "p%d@x.org|", 0},
		{"text/plain", "p%d@x.org/", 200},
		{"text/plain", "p%d@x.org:", 200},
		{"text/html", "p%d&#64;x.org ", 0},
		{"text/html", "<b>p%d&commat;x.org,</b>", 0},
		{"text/html", "p%d&#64;x.org&nbsp;", 400},
		{"message/rfc822\r\n\r\nTo: x", "<p%d@x.org>,", 0},
		{"message/rfc822\r\n\r\nTo: x", "\"a, b\" <p%d@x.org>;\r\n\t", 0},
	} {
		message := []byte("Content-Type: " + c.header)
		if !strings.HasPrefix(c.header, "message") {
			message = append(message, "\r\n\r\n"...)
		}
		for i := range n {
			message = fmt.Appendf(message, c.address, i)
		}
		if got := scanBody(message, 1000).Count(); got < n || got > n+c.more {
			t.Errorf("%s, %s: %d, want %d", c.header, c.address, got, n)
		}
	}
}

func TestWhatCannotBeFollowedCountsAsTooMany(t *testing.T) {
	nested := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d.\r\n\r\n--b%d.\r\n", i, i)
		}
		return b.String() + "\r\na@x.org\r\n"
	}
	encoded := func(n int) string {
		m := "From: a@x.org\r\n\r\n"
		for range n {
			m = "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte(m)) + "\r\n"
		}
		return m
	}
	for name, c := range map[string]struct {
		message string
		want    int
	}{
		"multiparts that can":          {nested(mail.MaxBoundaries), 1},
		"multiparts that cannot":       {nested(mail.MaxBoundaries + 1), MaxCount + 1},
		"encoded messages that can":    {encoded(mail.MaxReaders - 1), 1},
		"encoded messages that cannot": {encoded(mail.MaxReaders), MaxCount + 1},
	} {
		if s := scanBody([]byte(c.message), 1<<20); s.Count() != c.want {
			t.Errorf("%s: %d, want %d", name, s.Count(), c.want)
		}
	}
}

func TestNoLimitIsHigherThanWhatIsCounted(t *testing.T) {
	s := NewCounter([]byte("Subject: x\r\n\r\n"), mail.NewAddressSet(), false)
	for i := range MaxCount + 1000 {
		s.Write(fmt.Appendf(nil, "p%d@x.org\r\n", i))
		if want := min(i+1, MaxCount+1); s.Count() != want {
			t.Fatalf("%d after %d", s.Count(), i+1)
		}
	}
	if m := s.Memory(); m > 5<<20 {
		t.Errorf("holds %d bytes", m)
	}
}

// held is what a scanner really holds, as far as it can grow.
func (s *Counter) heldBytes() int { return s.top.heldBytes() }

func (r *partReader) heldBytes() int {
	n := cap(r.lines.Held) + cap(r.field)
	for _, b := range r.open {
		n += len(b.text)
	}
	for _, w := range []any{r.content, r.shown} {
		n += heldBytes(w)
	}
	return n
}

func heldBytes(w any) int {
	switch w := w.(type) {
	case *mail.Base64Decoder:
		return cap(w.Out) + heldBytes(w.To)
	case *mail.QuotedPrintableDecoder:
		return cap(w.Out) + cap(w.Rest) + heldBytes(w.To)
	case *mail.Unfolder:
		return heldBytes(w.To)
	case *mail.CharsetDecoder:
		return 8<<10 + heldBytes(w.To)
	case *htmlScanner:
		return cap(w.tag) + heldBytes(w.text)
	case *textScanner:
		n := cap(w.line) + cap(w.plain)
		if w.reply != nil {
			n += 8 * cap(w.reply.pending)
		}
		return n
	case *partReader:
		return w.heldBytes()
	}
	return 0
}

// FuzzBodyScanner: no body breaks it, the same bytes show the same however
// they are cut, the count never falls, and what it holds is bounded.
func FuzzBodyScanner(f *testing.F) {
	for i, path := range casefile.Paths(f, "../testdata", "body") {
		message := casefile.Wire(f, casefile.Read(f, path).Message)
		if len(message) < 1<<14 {
			f.Add(message, uint16(i+1))
		}
	}
	f.Fuzz(func(t *testing.T, message []byte, cut uint16) {
		whole := scanBody(message, len(message)+1)
		n := int(cut)%257 + 1
		if cutUp := scanBody(message, n); cutUp.Count() != whole.Count() {
			t.Fatalf("%q: %d in pieces of %d, %d as a whole", message, cutUp.Count(), n, whole.Count())
		}
		s := NewCounter(nil, mail.NewAddressSet(), false)
		last := 0
		for p := message; len(p) > 0; p = p[min(n, len(p)):] {
			s.Write(p[:min(n, len(p))])
			if s.Count() < last || s.heldBytes() > s.Memory() {
				t.Fatalf("%q: count %d after %d, holds %d of %d", message, s.Count(), last, s.heldBytes(), s.Memory())
			}
			last = s.Count()
		}
	})
}
