package policy

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"sendguard/policy/mail"
)

var update = flag.Bool("update", false, "rewrite what the test cases expect")

// A testCase is a file in testdata: lines that begin with # say why it exists,
// then come settings, and after an empty line the header as it is sent, LF for
// CRLF. \xNN stands for that byte, \r for a bare CR and \n for a bare LF, and
// \* for a repetition: the line "\*1000 p%d@x.org," is repeated with numbers.
// A body may follow the header; it is inspected where there is a limits.body.
// What the policy says stands in "want:" and, where the header that goes on is
// another one, after "---".
type testCase struct {
	path     string
	comment  string
	keys     string // the settings as written, without want
	settings Settings
	message  Message
	want     string
	header   string // as written
	sent     string // as written, what goes on
	rewrites bool
}

func readCase(t testing.TB, path string) *testCase {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c := &testCase{path: path, settings: Settings{External: Unlimited, Organisations: Unlimited, Total: Unlimited, Action: Reject, Override: true, StripBcc: true, BareNewline: RejectBare}}
	top, message, ok := strings.Cut(string(text), "\n\n")
	if !ok {
		t.Fatalf("%s: no empty line before the header", path)
	}
	for line := range strings.Lines(top + "\n") {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		value = strings.TrimSpace(value)
		switch {
		case strings.HasPrefix(line, "#"):
			c.comment += line
			continue
		case key == "want":
			c.want = value
			continue
		case key == "sender":
			c.message.Sender = value
		case key == "recipients":
			c.message.Recipients = strings.Fields(value)
		case key == "route":
			c.message.Route = value
		case key == "user":
			c.message.User = value
		default:
			c.set(t, key, value)
		}
		c.keys += line
	}
	if c.comment == "" {
		t.Errorf("%s does not say why it exists", path)
	}
	c.header, c.sent, c.rewrites = strings.Cut("\n"+message, "\n---\n")
	c.header = strings.TrimPrefix(c.header, "\n")
	if c.rewrites {
		c.header += "\n"
	}
	return c
}

// parseLimit and parseTruth read values of a case; key is for the error.
func parseLimit(t testing.TB, key, value string) Limit {
	t.Helper()
	if value == "unlimited" {
		return Unlimited
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	return Limit(n)
}

func parseTruth(t testing.TB, key, value string) bool {
	t.Helper()
	b, err := strconv.ParseBool(value)
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	return b
}

func (c *testCase) set(t testing.TB, key, value string) {
	t.Helper()
	if rest, ok := strings.CutPrefix(key, "rule."); ok {
		name, key, _ := strings.Cut(rest, ".")
		c.setRule(t, c.rule(name), key, value)
		return
	}
	switch s := &c.settings; key {
	case "personal_domains":
		s.PersonalDomains = strings.Fields(value)
	case "limits.organisations":
		s.Organisations = parseLimit(t, key, value)
	case "internal_domains":
		s.InternalDomains = strings.Fields(value)
	case "limits.external":
		s.External = parseLimit(t, key, value)
	case "limits.total":
		s.Total = parseLimit(t, key, value)
	case "limits.body":
		s.InspectBody, s.Body = true, parseLimit(t, key, value)
	case "action":
		s.Action = Action(value)
	case "override":
		s.Override = parseTruth(t, key, value)
	case "strip_bcc":
		s.StripBcc = parseTruth(t, key, value)
	default:
		t.Fatalf("%s: unknown key %q", c.path, key)
	}
}

// rule returns the rule of a name, a new one at the end if there is none yet.
func (c *testCase) rule(name string) *Rule {
	rules := &c.settings.Rules
	for i := range *rules {
		if (*rules)[i].Name == name {
			return &(*rules)[i]
		}
	}
	*rules = append(*rules, Rule{Name: name})
	return &(*rules)[len(*rules)-1]
}

func (c *testCase) setRule(t testing.TB, r *Rule, key, value string) {
	t.Helper()
	truth := func() *bool { b := parseTruth(t, key, value); return &b }
	number := func() *Limit { n := parseLimit(t, key, value); return &n }
	switch key {
	case "match.from":
		r.Match.From = strings.Fields(value)
	case "match.to":
		r.Match.To = strings.Fields(value)
	case "match.route":
		r.Match.Route = strings.Fields(value)
	case "match.user":
		r.Match.User = strings.Fields(value)
	case "match.reply":
		r.Match.Reply = truth()
	case "match.resent":
		r.Match.Resent = truth()
	case "match.calendar":
		r.Match.Calendar = truth()
	case "external":
		r.External = number()
	case "organisations":
		r.Organisations = number()
	case "total":
		r.Total = number()
	case "limits.body":
		r.Body = number()
	case "action":
		r.Action = Action(value)
	case "override":
		r.Override = truth()
	case "reject_hint":
		r.RejectHint = &value
	default:
		t.Fatalf("%s: unknown key %q", c.path, key)
	}
}

// wire turns a header as written into the bytes that are sent.
func wire(t testing.TB, written string) []byte {
	t.Helper()
	var b bytes.Buffer
	for line := range strings.Lines(written) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, `\*`); ok {
			count, pattern, _ := strings.Cut(rest, " ")
			n, err := strconv.Atoi(count)
			if err != nil {
				t.Fatal(err)
			}
			for i := range n {
				b.WriteString(strings.ReplaceAll(pattern, "%d", strconv.Itoa(i)))
			}
			continue
		}
		b.Write(unquote(t, line))
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

func unquote(t testing.TB, line string) (out []byte) {
	t.Helper()
	for i := 0; i < len(line); i++ {
		switch {
		case strings.HasPrefix(line[i:], `\x`) && i+4 <= len(line):
			n, err := strconv.ParseUint(line[i+2:i+4], 16, 8)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, byte(n))
			i += 3
		case strings.HasPrefix(line[i:], `\r`):
			out = append(out, '\r')
			i++
		case strings.HasPrefix(line[i:], `\n`):
			out = append(out, '\n')
			i++
		default:
			out = append(out, line[i])
		}
	}
	return out
}

// written is the reverse of wire, as far as a case needs it.
func written(header []byte) string {
	var b strings.Builder
	for rest := bytes.ReplaceAll(header, mail.CRLF, []byte("\n")); len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		if r == utf8.RuneError && size == 1 || r == 0 {
			fmt.Fprintf(&b, `\x%02x`, rest[0])
		} else {
			b.Write(rest[:size])
		}
		rest = rest[size:]
	}
	return b.String()
}

// summary is what "want:" says of a verdict.
func summary(v *Verdict) string {
	s := fmt.Sprintf("%s %s visible=%d internal=%d external=%d", v.Action, v.Reason, v.Exposure.Visible, v.Exposure.Internal, v.Exposure.External)
	if v.Line > 0 {
		s += fmt.Sprintf(" line=%d", v.Line)
	}
	if v.Claimed >= 0 {
		s += fmt.Sprintf(" claimed=%d", v.Claimed)
	}
	if v.Rule != RulePolicy {
		s += " rule=" + v.Rule
	}
	if v.Reason == ReasonTooManyOrganisations {
		s += fmt.Sprintf(" organisations=%d", v.Exposure.Organisations)
	}
	if v.Exposure.Body > 0 {
		s += fmt.Sprintf(" body=%d", v.Exposure.Body)
	}
	if v.Concealed > 0 {
		s += fmt.Sprintf(" concealed=%d", v.Concealed)
	}
	for _, f := range v.Exposure.Fields {
		s += fmt.Sprintf(" %s=%d", f.Field, f.Count)
	}
	return s
}

func TestCases(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			c := readCase(t, path)
			p, err := New(c.settings)
			if err != nil {
				t.Fatal(err)
			}
			header := wire(t, c.header)
			c.message.Header = header
			if end := bytes.Index(header, []byte("\r\n\r\n")); end >= 0 {
				c.message.Header, c.message.Body = header[:end+4], header[end+4:]
			}
			v := p.Decide(c.message)
			if p.InspectBody {
				v = v.WithBody(inBody(&c.message))
			}
			got := summary(&v)
			if *update {
				c.write(t, &v)
				return
			}
			if got != c.want {
				t.Errorf("%s\ngot  %s\nwant %s", c.comment, got, c.want)
			}
			want := header
			if c.rewrites {
				want = wire(t, c.sent)
			}
			if sent := c.goesOn(&v); !v.Refused() && !bytes.Equal(sent, want) {
				t.Errorf("%s\nsends %q\nwant  %q", c.comment, sent, want)
			}
			if v.Rewritten != c.rewrites {
				t.Errorf("%s\nrewritten: %v, want %v", c.comment, v.Rewritten, c.rewrites)
			}
		})
	}
}

// goesOn is what is sent by a verdict: of copies for each recipient all, parted
// by "---".
func (c *testCase) goesOn(v *Verdict) []byte {
	if v.Action != Individual {
		return append(bytes.Clone(v.Header), v.Body...)
	}
	var copies [][]byte
	for _, r := range c.message.Recipients {
		header, body := v.CopyFor(r)
		copies = append(copies, append(bytes.Clone(header), body...))
	}
	return bytes.Join(copies, []byte("---\r\n"))
}

// inBody counts what the body of a message shows.
func inBody(m *Message) int {
	s := NewBodyScanner(m.Header, m.Sender, false)
	s.Write(m.Body)
	s.Close()
	return s.Count()
}

// write puts what the policy says into the case's file.
func (c *testCase) write(t *testing.T, v *Verdict) {
	t.Helper()
	text := c.comment + c.keys + "want: " + summary(v) + "\n\n" + c.header
	if v.Rewritten {
		text += "---\n" + written(c.goesOn(v))
	}
	if err := os.WriteFile(c.path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
