package policy

import (
	"bytes"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sendguard/policy/internal/casefile"
)

var update = flag.Bool("update", false, "rewrite what the test cases expect")

// A testCase is a case of testdata with its settings read. The body that may
// follow the header is inspected where there is a limits.body.
type testCase struct {
	*casefile.Case
	settings Settings
	envelope Envelope
}

func readCase(t testing.TB, path string) *testCase {
	t.Helper()
	c := &testCase{Case: casefile.Read(t, path)}
	c.settings = Settings{Limits: NoLimits(), Action: Reject, Override: true, StripBcc: true, BareNewline: RejectBare}
	for _, s := range c.Settings {
		switch s.Key {
		case "sender":
			c.envelope.Sender = s.Value
		case "recipients":
			c.envelope.Recipients = strings.Fields(s.Value)
		case "route":
			c.envelope.Route = s.Value
		case "user":
			c.envelope.User = s.Value
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
			message := casefile.Wire(t, c.Message)
			c.envelope.Measure = c.settings.InspectBody
			header, body := separate(message)
			v, after := feed(p.NewJudge(c.envelope), header, body)
			got := summary(&v)
			if *update {
				c.Write(t, got, v.Rewritten, c.goesOn(&v, message, after))
				return
			}
			if got != c.Want {
				t.Errorf("%s\ngot  %s\nwant %s", c.Comment, got, c.Want)
			}
			want := message
			if c.Rewrites {
				want = casefile.Wire(t, c.Sent)
			}
			if sent := c.goesOn(&v, message, after); !v.Refused() && !bytes.Equal(sent, want) {
				t.Errorf("%s\nsends %q\nwant  %q", c.Comment, sent, want)
			}
			if v.Rewritten != c.Rewrites {
				t.Errorf("%s\nrewritten: %v, want %v", c.Comment, v.Rewritten, c.Rewrites)
			}
		})
	}
}

// goesOn is what is sent by a verdict: of copies for each recipient all, with "---"
// between them. after is what of the body was fed after the verdict.
func (c *testCase) goesOn(v *Verdict, message, after []byte) []byte {
	if v.Action != Individual {
		if !v.Rewritten {
			return message
		}
		return slices.Concat(v.Header, v.Body, after)
	}
	var copies [][]byte
	for _, r := range c.envelope.Recipients {
		header, body := v.CopyFor(r)
		copies = append(copies, slices.Concat(header, body, after))
	}
	return bytes.Join(copies, []byte("---\r\n"))
}

// separate separates a message behind its first empty line.
func separate(message []byte) (header, body []byte) {
	if end := bytes.Index(message, []byte("\r\n\r\n")); end >= 0 {
		return message[:end+4], message[end+4:]
	}
	return message, nil
}

// judge feeds a judge with a message whose header ends with its first empty line.
func judge(p *Policy, e Envelope, message []byte) Verdict {
	header, body := separate(message)
	return judgeParts(p, e, header, body)
}

func judgeParts(p *Policy, e Envelope, header, body []byte) Verdict {
	v, _ := feed(p.NewJudge(e), header, body)
	return v
}

// feed feeds a judge with a message, and returns what of the body came after the
// verdict: it goes on as it is.
func feed(j *Judge, header []byte, pieces ...[]byte) (v Verdict, after []byte) {
	defer j.Close()
	j.Header(header)
	if l := (newlines{look: true}); slices.ContainsFunc(pieces, func(p []byte) bool { _, bare := l.bare(p); return bare }) || l.inCR {
		j.Bare()
	}
	for _, piece := range pieces {
		if j.next != More {
			after = append(after, piece...)
		}
		j.Body(piece)
	}
	return j.End(), after
}

// me is the envelope of a message of the sender that the tests have.
var me = Envelope{Sender: "me@home.org"}

func TestNoBodyLimitIsHigherThanWhatIsCounted(t *testing.T) {
	settings := Settings{Limits: Limits{InBody: MaxInBody}, InspectBody: true, Action: Reject, BareNewline: RejectBare}
	p, err := New(settings)
	if err != nil {
		t.Fatal(err)
	}
	var many bytes.Buffer
	for i := range MaxInBody + 1 {
		fmt.Fprintf(&many, "p%d@x.org\r\n", i)
	}
	if v := judgeParts(p, Envelope{}, []byte("Subject: x\r\n\r\n"), many.Bytes()); !v.Refused() {
		t.Error("the highest limit lets pass what could not be counted")
	}
	settings.Limits[InBody]++
	if _, err := New(settings); err == nil || !strings.HasPrefix(err.Error(), "limits.body: ") {
		t.Errorf("a limit that could never be exceeded: %v", err)
	}
}
