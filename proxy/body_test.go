package proxy

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sendguard/policy"
)

const smuggled = "MAIL FROM:<evil@home.example>\r\nRCPT TO:<victim@there.example>\r\nDATA\r\n" + "Subject: smuggled\r\n\r\nx\r\n.\r\n"

// ends are sequences that some server takes, or took, for the end of a
// message, or that come near it: line ends before and after a dot.
func ends() (all []string) {
	parts := []string{"", "\r", "\n", "\r\n", "\n\r", "\r\r", "\n\n", "\r\r\n", "\n\r\n", "\r\n\r"}
	for _, before := range parts {
		for _, after := range parts {
			all = append(all, before+"."+after)
		}
	}
	return all
}

// corpus returns the sequences of smtp_cases.json in the folder that
// SENDGUARD_CORPUS names, where it does.
func corpus(t testing.TB) (all []string) {
	dir := os.Getenv("SENDGUARD_CORPUS")
	if dir == "" {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(dir, "smtp_cases.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Data string `json:"data_latin1"`
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		var b []byte
		for _, r := range c.Data {
			b = append(b, byte(r))
		}
		all = append(all, string(b))
	}
	t.Logf("%d sequences of the corpus", len(all))
	return all
}

// bare reports whether a CR or LF stands alone.
func bare(s string) bool { return strings.ContainsAny(strings.ReplaceAll(s, "\r\n", ""), "\r\n") }

func TestNoSequenceMakesASecondMessageUpstream(t *testing.T) {
	for _, mode := range policy.BareNewlines {
		for _, seq := range append(ends(), corpus(t)...) {
			for _, midBody := range []bool{false, true} {
				sendSequence(t, mode, seq, midBody)
			}
		}
	}
}

// sendSequence sends a message with the sequence in it, and a second message
// for a server that takes it for the end. midBody has the header go upstream
// before the sequence comes.
func sendSequence(t *testing.T, mode policy.BareNewline, seq string, midBody bool) {
	t.Helper()
	u := newUpstream(t)
	header := "From: me@home.example\r\nTo: you@there.example\r\n\r\n"
	if takesMail := !strings.Contains(header+"x.\r\n\r\nx\r\n.\r", seq); bare(seq) && takesMail && (mode == policy.RejectBare || !strings.HasSuffix(seq, "\r") && !strings.HasSuffix(seq, ".")) {
		u.endsAt = append(u.endsAt, seq) // mended, a CR at the end is half of CRLF, and a dot is stuffed
	}
	g := newGuard(t, u, func(s *setup) { s.settings.BareNewline = mode })
	c := g.greeted()
	c.envelope()
	message, _, ended := strings.Cut("first"+seq+smuggled, "\r\n.\r\n") // what it really is
	if !ended {
		t.Fatal("the message has no end")
	}
	if midBody {
		c.send(header)
		header = ""
		u.waitFor("DATA", func() bool { return slices.Contains(u.commands, "DATA") })
	}
	c.send(header + message + "\r\n.\r\n")
	r := c.reply()
	refused := mode == policy.RejectBare && bare(message)
	if want := map[bool]string{true: "550 5.6.0 Not sent: bare CR or LF", false: "250"}[refused]; !strings.HasPrefix(r, want) {
		t.Errorf("%q, %s: got %q", seq, mode, r)
	}
	if refused && midBody {
		c.cmd("NOOP", "421")
	} else {
		c.cmd("NOOP", "250")
	}
	c.conn.Close()
	commands, got, _ := u.got()
	switch {
	case len(got) > 1 || strings.Count(strings.Join(commands, "\n"), "MAIL") > 1:
		t.Errorf("%q, %s: upstream got %q", seq, mode, got)
	case refused && len(got) > 0:
		t.Errorf("%q: upstream got %q", seq, got)
	case !refused && (len(got) != 1 || bare(got[0])):
		t.Errorf("%q, %s: upstream got %q", seq, mode, got)
	}
}

// The line behind an empty header is in no header and in no body, for some readers.
func TestABareNewlineBehindAnEmptyFirstLineIsRefused(t *testing.T) {
	nothing := func(*setup) {}
	for name, change := range map[string]func(*setup){"header alone": nothing, "body inspected": inspecting(25), "copies": individual, "bcc": bcc} {
		u := newUpstream(t)
		c := newGuard(t, u, change).greeted()
		for _, line := range []string{"x\n.\r\nMAIL FROM:<evil@there.example>", "x\n.\nMAIL FROM:<evil@there.example>", "x\ry", "x\n", "\n", "\r"} {
			c.envelope()
			c.send("\r\n" + line + "\r\n.\r\n")
			if r := c.reply(); !strings.HasPrefix(r, "550 5.6.0 Not sent: bare CR or LF") {
				t.Errorf("%s, %q: got %q", name, line, r)
			}
			c.cmd("NOOP", "250")
		}
		if _, got, _ := u.got(); len(got) > 0 {
			t.Errorf("%s: upstream got %q", name, got)
		}
	}
}

func TestNormalizeMendsLineEndsAndStuffsWhatItMakes(t *testing.T) {
	for in, want := range map[string]string{
		"a\nb\r\n":                             "a\r\nb\r\n",
		"a\rb\r\n":                             "a\r\nb\r\n",
		"a\r\r\nb\r\n":                         "a\r\n\r\nb\r\n",
		"a\n.\nb\r\n":                          "a\r\n..\r\nb\r\n",
		"a\n.b\r\n":                            "a\r\n..b\r\n",
		"a\r\n..b\r\n":                         "a\r\n..b\r\n", // stuffed by the client
		"a\r\n.\nb\r\n":                        "a\r\n..\r\nb\r\n",
		"a\r\n.\rb\r\n":                        "a\r\n..\r\nb\r\n",
		"a\n.\r\nb\r\n":                        "a\r\n..\r\nb\r\n",
		"a\n\r\n..\r\n":                        "a\r\n\r\n..\r\n",
		strings.Repeat("x", 70000) + "\n.\r\n": strings.Repeat("x", 70000) + "\r\n..\r\n",
	} {
		u := newUpstream(t)
		g := newGuard(t, u, func(s *setup) { s.settings.BareNewline = policy.NormalizeBare })
		header := "From: me@home.example\nTo: you@there.example\n\n"
		g.greeted().message(header+in, "250")
		_, got, _ := u.got()
		if want = strings.ReplaceAll(header, "\n", "\r\n") + want; !slices.Equal(got, []string{want}) {
			t.Errorf("%.40q: got %.80q, want %.80q", in, got, want)
		}
	}
}

func TestAFieldBehindABareNewlineIsCountedOnceItIsAField(t *testing.T) {
	m := "From: me@home.example\r\nSubject: x\nTo: " + addresses(11) + "\r\n\r\nHello\r\n"
	u := newUpstream(t)
	newGuard(t, u).greeted().message(m, "550 5.6.0 Not sent: bare CR or LF")
	g := newGuard(t, u, func(s *setup) { s.settings.BareNewline = policy.NormalizeBare })
	g.greeted().message(m, "550 5.7.1 Not sent: every recipient would see 11 addresses (limit 10)")
	if commands, _, _ := u.got(); slices.Contains(commands, "DATA") {
		t.Errorf("upstream was sent %q", commands)
	}
}

func TestTheEndOfAMessageSplitAtEveryByte(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u)
	body := plain + "..\r\n.. \r\n...x\r\nlast\r\n"
	whole := body + ".\r\n"
	for cut := range whole {
		c := g.greeted()
		c.envelope()
		c.send(whole[:cut])
		if cut > len(body) { // everything but the end has gone upstream before the rest follows
			u.waitFor("DATA", func() bool { return strings.Count(strings.Join(u.commands, "\n"), "DATA") == cut+1 })
		}
		c.send(whole[cut:] + "NOOP\r\n")
		c.want("250 2.0.0 queued")
		c.want("250")
		c.conn.Close()
	}
	_, got, broken := u.got()
	for _, m := range got {
		if m != body {
			t.Fatalf("got %q", m)
		}
	}
	if len(got) != len(whole) || len(broken) > 0 {
		t.Errorf("%d messages, %d broken off", len(got), len(broken))
	}
}

func TestMessagesThatEndAroundTheEdgeOfAPieceArriveWhole(t *testing.T) {
	u := newUpstream(t)
	c := newGuard(t, u).greeted()
	header := "From: me@home.example\r\nTo: you@there.example\r\n\r\n"
	var want []string
	for _, edge := range []int{smallPiece, smallPiece + largePiece, 2 * largePiece} {
		for around := -5; around <= 5; around++ {
			m := header + strings.Repeat("x", edge+around-len(header)-2) + "\r\n"
			c.message(m, "250")
			m2 := header + strings.Repeat("line\r\n..", (edge+around-len(header))/8) + "\r\n"
			c.message(m2, "250")
			want = append(want, m, m2)
		}
	}
	if _, got, _ := u.got(); !slices.Equal(got, want) {
		for i := range want {
			if i >= len(got) || got[i] != want[i] {
				t.Fatalf("message %d of %d is not the same", i, len(got))
			}
		}
	}
}

func TestARefusalComesAtTheRealEndAndAGoodMessageFollows(t *testing.T) {
	u := newUpstream(t)
	c := newGuard(t, u).greeted()
	c.envelope()
	c.send(leaking(43) + strings.Repeat("a long body\r\n", 100_000))
	c.send("..\r\nQUIT\r\nMAIL FROM:<evil@home.example>\r\n.\r\n")
	c.want("550 5.7.1")
	c.message(plain, "250")
	commands, got, broken := u.got()
	if !slices.Equal(got, []string{plain}) || len(broken) > 0 || strings.Contains(strings.Join(commands, " "), "evil") {
		t.Errorf("upstream got %q, %q", got, commands)
	}
}

func TestADotStuffedHeaderIsReadAsItIsMeant(t *testing.T) {
	u := newUpstream(t)
	c := newGuard(t, u).greeted()
	// "..x: y" on the wire is the field ".x: y"; and a rewrite stuffs it again.
	m := "..x: y\r\nFrom: me@home.example\r\nBcc: secret@there.example\r\n..To: a@x.example\r\n\r\n..\r\n"
	c.message(m, "250")
	if _, got, _ := u.got(); !slices.Equal(got, []string{strings.Replace(m, "Bcc: secret@there.example\r\n", "", 1)}) {
		t.Errorf("got %q", got)
	}
}

func TestHeadersOfAllSizes(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u, func(s *setup) { s.limits.HeaderBytes = 200_000; s.limits.LineBytes = 50_000 })
	c := g.greeted()
	field := "X-Field: " + strings.Repeat("y", 989) + "\r\n" // 1000 bytes
	from := "From: me@home.example\r\n"
	ok := []string{"", "\r\n", from, from + "\r\n", from + strings.Repeat(field, 40) + "\r\nbody\r\n", from + strings.Repeat(field, 199) + "\r\n", strings.Repeat(field, 199) + from + "\r\n" + strings.Repeat("z", 100_000) + "\r\n"}
	for _, m := range ok {
		c.message(m, "250")
	}
	c.message(from+strings.Repeat(field, 200)+"\r\nbody\r\n", "552 5.3.4")
	c.message(from+"X: "+strings.Repeat("y", 50_001)+"\r\n\r\nbody\r\n", "554 5.6.0")
	c.message(strings.Repeat("y", 1_000_000)+"\r\n", "552 5.3.4")
	c.message(plain, "250")
	if _, got, _ := u.got(); !slices.Equal(got, append(ok, plain)) {
		t.Errorf("%d messages upstream", len(got))
	}
	for _, fault := range []string{"header_too_large", "header_line_too_long"} {
		if n := g.counter("sendguard_session_faults_total", "fault", fault); n < 1 {
			t.Errorf("%s is %v", fault, n)
		}
	}
}

func TestAMessageOverItsLimitIsNeverFinishedUpstream(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u, func(s *setup) { s.limits.MessageBytes = 100_000 })
	c := g.dial()
	c.want("220")
	if ehlo := c.cmd("EHLO client.test", "250"); !strings.Contains(ehlo, "SIZE 100000\n") {
		t.Errorf("announced %q", ehlo)
	}
	c.cmd("MAIL FROM:<me@home.example> SIZE=100001", "552 5.3.4")
	c.cmd("MAIL FROM:<me@home.example> SIZE=100000", "250")
	c.cmd("RSET", "250")
	fits := plain + strings.Repeat("..3456789\r\n", (100_000-len(plain))/10) // ten bytes without stuffing
	fits += strings.Repeat("x", 100_000-len(plain)-10*strings.Count(fits, "..")-2) + "\r\n"
	c.message(fits, "250")
	c.message(fits[:len(fits)-2]+"x\r\n", "552 5.3.4")
	c.cmd("MAIL FROM:<me@home.example>", "421")
	c.ended()
	if _, got, _ := u.got(); !slices.Equal(got, []string{fits}) {
		t.Errorf("%d messages upstream", len(got))
	}
}

func TestFullBuffersAreATemporaryRefusal(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u, func(s *setup) { s.limits.BufferBytes = smallPiece + 20_000 })
	first := g.greeted()
	first.envelope()
	first.send(plain)
	u.waitFor("the first message to be under way", func() bool { return slices.Contains(u.commands, "DATA") })
	waiting := g.greeted()
	waiting.cmd("MAIL FROM:<me@home.example>", "250")
	waiting.cmd("RCPT TO:<you@there.example>", "250")
	waiting.cmd("DATA", "452 4.3.1")
	first.send(".\r\n")
	first.want("250")
	first.message("X: "+strings.Repeat("y\r\n ", 60_000)+"\r\n\r\n", "452 4.3.1")
	waiting.message(plain, "250")
}

func TestTheUpstreamRefusesDATA(t *testing.T) {
	for _, refusal := range []string{"554 5.7.1 no mail today", "451 4.3.0 not now\n", "421 4.3.2 going down"} {
		refusal = strings.TrimSpace(refusal)
		u := newUpstream(t)
		u.on = func(line string) string {
			if line == "DATA" {
				return refusal
			}
			return ""
		}
		g := newGuard(t, u)
		c := g.greeted()
		c.envelope() // 354 is ours
		c.send(plain + strings.Repeat("more\r\n", 100_000))
		c.send("MAIL FROM:<evil@home.example>\r\n.\r\n")
		if r := c.reply(); r != refusal {
			t.Errorf("got %q, want %q", r, refusal)
		}
		if refusal[:3] == "421" {
			c.ended()
		} else {
			c.cmd("MAIL FROM:<me@home.example>", "250")
		}
		if n := g.counter("sendguard_message_outcomes_total", "outcome", "refused_by_upstream"); n != 1 {
			t.Errorf("refused_by_upstream is %v", n)
		}
		if commands, got, _ := u.got(); len(got) > 0 || strings.Contains(fmt.Sprint(commands), "evil") {
			t.Errorf("upstream got %q %q", commands, got)
		}
	}
}

func TestAnEarlyRefusalOfTheBodyIsRelayedAtItsEnd(t *testing.T) {
	u := newUpstream(t)
	u.cutAt = 100_000
	u.cutWith = "552 5.3.4 too much for me"
	c := newGuard(t, u).greeted()
	c.envelope()
	c.send(plain + strings.Repeat("a line of the body\r\n", 500_000) + ".\r\n")
	r := c.reply()
	if r != u.cutWith && !strings.HasPrefix(r, "451 4.4.2") { // the reset may have overtaken it
		t.Errorf("got %q", r)
	}
	if _, got, _ := u.got(); len(got) > 0 {
		t.Error("the message was finished upstream")
	}
}
