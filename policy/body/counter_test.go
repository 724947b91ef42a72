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

func newCounter() *Counter { return NewCounter(own(), func([]byte) bool { return false }, nil) }

// counted is a walk through a message with a counter that listens.
type counted struct {
	*mail.Walk
	*Counter
}

func newCounted(header string) counted {
	h := mail.ParseHeader([]byte(header))
	c := newCounter()
	return counted{mail.NewWalk(&h, c), c}
}

func (c counted) Close() {
	c.Walk.Close()
	c.Counter.Close()
}

func (c counted) Count() int {
	if c.Walk.Beyond() {
		return MaxCount + 1
	}
	return c.Counter.Count()
}

// scanBody counts what a message shows in its body, which comes in pieces of n
// bytes.
func scanBody(message []byte, n int) counted {
	header, body := message, []byte(nil)
	if end := bytes.Index(message, []byte("\r\n\r\n")); end >= 0 {
		header, body = message[:end+4], message[end+4:]
	}
	s := newCounted(string(header))
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
		for _, n := range []int{1, 2, 3, 7, 100, 4096, 16 << 10} {
			if got := scanBody(message, n).Count(); got != want {
				t.Errorf("%s: %d in pieces of %d, %d as a whole", path, got, n, want)
			}
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
		{"application/json", "\"p%d@x.org\",", 0},
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
		"multiparts that can":          {nested(32), 1},
		"multiparts that cannot":       {nested(33), MaxCount + 1},
		"encoded messages that can":    {encoded(3), 1},
		"encoded messages that cannot": {encoded(4), MaxCount + 1},
	} {
		if s := scanBody([]byte(c.message), 1<<20); s.Count() != c.want {
			t.Errorf("%s: %d, want %d", name, s.Count(), c.want)
		}
	}
}

func TestNoLimitIsHigherThanWhatIsCounted(t *testing.T) {
	s := newCounted("Subject: x\r\n\r\n")
	s.Write(bytes.Repeat([]byte(" "), maxStart))
	for i := range MaxCount + 1000 {
		s.Write(fmt.Appendf(nil, "p%d@x.org\r\n", i))
		if want := min(i+1, MaxCount+1); s.Count() != want {
			t.Fatalf("%d after %d", s.Count(), i+1)
		}
	}
	if m := s.Counter.Memory(); m > 5<<20 {
		t.Errorf("holds %d bytes", m)
	}
}

// FuzzCounter: no body breaks it, the same bytes show the same however
// they are cut and
// the count never falls.
func FuzzCounter(f *testing.F) {
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
		s := newCounted("")
		last := 0
		for p := message; len(p) > 0; p = p[min(n, len(p)):] {
			s.Write(p[:min(n, len(p))])
			if s.Count() < last {
				t.Fatalf("%q: count %d after %d", message, s.Count(), last)
			}
			last = s.Count()
		}
	})
}
