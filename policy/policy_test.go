package policy

import (
	"bytes"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"sendguard/policy/body"
	"sendguard/policy/internal/casefile"
)

var update = flag.Bool("update", false, "rewrite what the test cases expect")

// A testCase is a case of testdata with its settings read. The body that may
// follow the header is inspected where there is a limits.body.
type testCase struct {
	*casefile.Case
	settings Settings
	message  Message
}

func readCase(t testing.TB, path string) *testCase {
	t.Helper()
	c := &testCase{Case: casefile.Read(t, path)}
	c.settings = Settings{Limits: NoLimits(), Action: Reject, Override: true, StripBcc: true, BareNewline: RejectBare}
	for _, s := range c.Settings {
		switch s.Key {
		case "sender":
			c.message.Sender = s.Value
		case "recipients":
			c.message.Recipients = strings.Fields(s.Value)
		case "route":
			c.message.Route = s.Value
		case "user":
			c.message.User = s.Value
		default:
			c.set(t, s.Key, s.Value)
		}
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
		s.Limits[Organisations] = parseLimit(t, key, value)
	case "internal_domains":
		s.InternalDomains = strings.Fields(value)
	case "limits.external":
		s.Limits[External] = parseLimit(t, key, value)
	case "limits.total":
		s.Limits[Total] = parseLimit(t, key, value)
	case "limits.body":
		s.InspectBody, s.Limits[InBody] = true, parseLimit(t, key, value)
	case "action":
		s.Action = Action(value)
	case "override":
		s.Override = parseTruth(t, key, value)
	case "strip_bcc":
		s.StripBcc = parseTruth(t, key, value)
	default:
		t.Fatalf("%s: unknown key %q", c.Path, key)
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
		r.Limits[External] = number()
	case "organisations":
		r.Limits[Organisations] = number()
	case "total":
		r.Limits[Total] = number()
	case "limits.body":
		r.Limits[InBody] = number()
	case "action":
		r.Action = Action(value)
	case "override":
		r.Override = truth()
	case "reject_hint":
		r.RejectHint = &value
	default:
		t.Fatalf("%s: unknown key %q", c.Path, key)
	}
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
	for _, path := range casefile.Paths(t, "testdata", "*") {
		t.Run(strings.TrimSuffix(strings.TrimPrefix(path, "testdata/"), ".txt"), func(t *testing.T) {
			c := readCase(t, path)
			p, err := New(c.settings)
			if err != nil {
				t.Fatal(err)
			}
			header := casefile.Wire(t, c.Message)
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
				c.Write(t, got, v.Rewritten, c.goesOn(&v))
				return
			}
			if got != c.Want {
				t.Errorf("%s\ngot  %s\nwant %s", c.Comment, got, c.Want)
			}
			want := header
			if c.Rewrites {
				want = casefile.Wire(t, c.Sent)
			}
			if sent := c.goesOn(&v); !v.Refused() && !bytes.Equal(sent, want) {
				t.Errorf("%s\nsends %q\nwant  %q", c.Comment, sent, want)
			}
			if v.Rewritten != c.Rewrites {
				t.Errorf("%s\nrewritten: %v, want %v", c.Comment, v.Rewritten, c.Rewrites)
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

func TestNoBodyLimitIsHigherThanWhatIsCounted(t *testing.T) {
	settings := Settings{Limits: Limits{InBody: body.MaxCount}, InspectBody: true, Action: Reject, BareNewline: RejectBare}
	p, err := New(settings)
	if err != nil {
		t.Fatal(err)
	}
	v := p.Decide(Message{Header: []byte("Subject: x\r\n\r\n")})
	if v = v.WithBody(body.MaxCount + 1); !v.Refused() {
		t.Error("the highest limit lets pass what could not be counted")
	}
	settings.Limits[InBody]++
	if _, err := New(settings); err == nil || !strings.HasPrefix(err.Error(), "limits.body: ") {
		t.Errorf("a limit that could never be exceeded: %v", err)
	}
}
