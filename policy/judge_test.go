package policy

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sendguard/policy/internal/casefile"
	"sendguard/policy/mail"
)

// TestThePiecesOfABodyMakeNoDifference: not to the verdict, nor to what goes on.
func TestThePiecesOfABodyMakeNoDifference(t *testing.T) {
	for _, path := range casefile.Paths(t, "testdata", "*") {
		c := readCase(t, path)
		message := casefile.Wire(t, c.Message)
		if len(message) > 1<<16 {
			continue
		}
		p, err := New(c.settings)
		if err != nil {
			t.Fatal(err)
		}
		header, body := separate(message)
		said := func(size int) string {
			v, after := feed(p.NewJudge(c.envelope), header, slices.Collect(slices.Chunk(body, size))...)
			if v.Refused() {
				return summary(&v)
			}
			return summary(&v) + "\n" + string(c.goesOn(&v, message, after))
		}
		want := said(len(body) + 1)
		for _, size := range []int{1, 2, 7, 100} {
			if got := said(size); got != want {
				t.Errorf("%s, pieces of %d:\n%s\nas a whole:\n%s", path, size, got, want)
			}
		}
	}
}

// fourKinds are messages by what is asked about them.
var fourKinds = map[string]struct {
	header, body string
	settings     Settings
	headers      int // with copies
}{
	"plain":                        {"", "Hello\r\n", Settings{Action: Reject}, 1},
	"multipart":                    {"Content-Type: multipart/mixed; boundary=b\r\n", "--b\r\n\r\nHello\r\n--b--\r\n", Settings{Action: Reject}, 1},
	"multipart, bodies inspected":  {"Content-Type: multipart/mixed; boundary=b\r\n", "--b\r\nX: y\r\n\r\nHello a@x.org\r\n--b--\r\n", Settings{Action: Reject, InspectBody: true}, 2},
	"individual, bodies inspected": {"Content-Type: multipart/mixed; boundary=b\r\n", "--b\r\nTo: a@x.org\r\n\r\nHello\r\n--b--\r\n", Settings{Action: Individual, InspectBody: true}, 2},
}

// TestAHeaderIsParsedOnce: that of the message, whatever is asked about it. (Each
// copy of it is, too: see the package mail.)
func TestAHeaderIsParsedOnce(t *testing.T) {
	defer func() { parseHeader = mail.ParseHeader }()
	for name, m := range fourKinds {
		m.settings.Limits, m.settings.BareNewline = Limits{External: 0, Organisations: Unlimited, Total: Unlimited, InBody: 5}, RejectBare
		if m.settings.Action == Reject {
			m.settings.Limits[External] = 10
		}
		p, err := New(m.settings)
		if err != nil {
			t.Fatal(err)
		}
		parsed := 0
		parseHeader = func(raw []byte) mail.Header {
			parsed++
			return mail.ParseHeader(raw)
		}
		header := "From: me@home.org\r\nTo: a@x.org, b@x.org\r\n" + m.header + "\r\n"
		v, _ := feed(p.NewJudge(Envelope{Recipients: []string{"a@x.org", "b@x.org"}}), []byte(header), bytes.SplitAfter([]byte(m.body), []byte("\n"))...)
		if v.Refused() || v.HasCopies() != (m.settings.Action == Individual) {
			t.Errorf("%s: %s", name, summary(&v))
		}
		if parsed != 1 {
			t.Errorf("%s: the header was parsed %d times", name, parsed)
		}
	}
}

// TestOfABodyNoMoreThanMaxBodyIsHeld: however large the first piece is, and however
// much of the body is wanted.
func TestOfABodyNoMoreThanMaxBodyIsHeld(t *testing.T) {
	p, err := New(Settings{Limits: Limits{External: 0, Organisations: Unlimited, Total: Unlimited}, Action: Bcc, BareNewline: RejectBare})
	if err != nil {
		t.Fatal(err)
	}
	header := []byte("From: me@home.org\r\nTo: a@x.org\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n")
	for _, size := range []int{1000, MaxBody - 1, MaxBody, MaxBody + 1, 10 * MaxBody} {
		body := []byte("--b\r\n\r\n" + strings.Repeat("x", size) + "\r\n--b--\r\n")
		for _, piece := range []int{999, 1 << 20} {
			j := p.NewJudge(Envelope{})
			next := j.Header(header)
			for p := range slices.Chunk(body, piece) {
				next = j.Body(p)
				if len(j.start) > MaxBody {
					t.Fatalf("%d bytes are held", len(j.start))
				}
				if next == More && len(j.start) == MaxBody && len(p) < piece {
					t.Error("it wants more than it can hold")
				}
			}
			if v := j.End(); v.Action != Bcc || !v.Rewritten {
				t.Errorf("%d bytes in pieces of %d: %s", size, piece, summary(&v))
			}
			j.Close()
		}
	}
}

// TestWhatIsFedMayBeReadOver: a judge keeps nothing of its caller's.
func TestWhatIsFedMayBeReadOver(t *testing.T) {
	p, err := New(Settings{Limits: Limits{External: 0, Organisations: Unlimited, Total: Unlimited, InBody: 1}, InspectBody: true, Override: true, Action: Individual, BareNewline: RejectBare})
	if err != nil {
		t.Fatal(err)
	}
	const body = "--b\r\nTo: b@x.org\r\n\r\nc@x.org d@x.org e@x.org\r\n--b--\r\n"
	j := p.NewJudge(Envelope{Recipients: []string{"a@x.org", "b@x.org"}})
	defer j.Close()
	header := []byte("From: me@home.org\r\nTo: Ann <a@x.org>\r\nSubject: [show 3] x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n")
	j.Header(header)
	clear(header)
	for line := range strings.Lines(body) {
		piece := []byte(line)
		j.Body(piece)
		clear(piece)
	}
	v := j.End()
	gotHeader, gotBody := v.CopyFor("a@x.org")
	want := "From: me@home.org\r\nTo: Ann <a@x.org>\r\nSubject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Replace(body, "b@x.org", "Ann <a@x.org>", 1)
	if got := fmt.Sprintf("%s%s", gotHeader, gotBody); v.Action != Override || got != want {
		t.Errorf("%s: got %q, want %q", v.Action, got, want)
	}
}

func TestABareNewlineIsFoundHoweverTheTextIsCut(t *testing.T) {
	for text, want := range map[string]int{
		"":             -1,
		"a\r\nb\r\n":   -1,
		"\r\n\r\n":     -1,
		"a\nb":         2,
		"\n":           1,
		"a\rb":         2,
		"a\r\r\n":      2,
		"a\r\n\rb\r\n": 4,
		"a\r\n\n":      4,
	} {
		for size := 1; size <= len(text); size++ {
			l := newlines{look: true}
			at, found := 0, false
			for piece := range slices.Chunk([]byte(text), size) {
				n, bare := l.bare(piece)
				if bare {
					at, found = at+n, true
					break
				}
				at += len(piece)
			}
			if found != (want >= 0) || found && at != want {
				t.Errorf("%q in pieces of %d: found %v at %d, want %d", text, size, found, at, want)
			}
		}
	}
}

// That line is fed with the header, and is no field.
func TestABareNewlineBehindAnEmptyHeaderIsRefused(t *testing.T) {
	settings := map[string]Settings{
		"header alone":     {Limits: NoLimits(), Action: Reject, BareNewline: RejectBare},
		"bodies inspected": {Limits: Limits{InBody: 25}, InspectBody: true, Action: Reject, BareNewline: RejectBare},
		"copies":           {Limits: NoLimits(), Action: Individual, BareNewline: RejectBare},
		"nothing":          {Limits: NoLimits(), InspectBody: true, Action: Allow, BareNewline: RejectBare},
	}
	for name, s := range settings {
		p, err := New(s)
		if err != nil {
			t.Fatal(err)
		}
		for line, want := range map[string]Reason{"x\n.\r\n": ReasonBareNewline, "x\ry\r\n": ReasonBareNewline, "\n\r\n": ReasonBareNewline, "\r\n": ReasonNone, "x\r\n": ReasonNone, "x": ReasonNone} {
			for _, body := range []string{"", "hello\r\n"} {
				j := p.NewJudge(Envelope{})
				j.Header([]byte("\r\n" + line))
				j.Body([]byte(body))
				if v := j.End(); v.Reason != want {
					t.Errorf("%s, %q and %q: %s", name, line, body, summary(&v))
				}
				j.Close()
			}
		}
	}
}
