package policy

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gzipped is a gzip file, and so the smallest container.
func gzipped(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(text))
	w.Close()
	return b.Bytes()
}

// withAttachments is a message with attachments of no type.
func withAttachments(subject string, files ...[]byte) (header, body []byte) {
	var b strings.Builder
	for _, file := range files {
		b.WriteString("--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n")
		for line := range slices.Chunk(file, 57) {
			b.WriteString(base64.StdEncoding.EncodeToString(line) + "\r\n")
		}
	}
	return []byte("From: me@home.org\r\nSubject: " + subject + "\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"), []byte(b.String() + "--b--\r\n")
}

// listOf is a list of so many addresses.
func listOf(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "p%d@x.example\r\n", i)
	}
	return b.String()
}

// bomb shows seven addresses, and then unpacks to more than is searched.
var bomb = gzipped(listOf(7) + strings.Repeat("\x00", 40<<20) + listOf(9))

func bodyPolicy(t testing.TB, change func(*Settings)) *Policy {
	s := Settings{Limits: Limits{External: 10, Organisations: Unlimited, Total: Unlimited, InBody: 25}, InspectBody: true, Action: Reject, Override: true, BareNewline: RejectBare}
	if change != nil {
		change(&s)
	}
	p, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAListInAContainerCounts(t *testing.T) {
	for n, action := range map[int]Action{25: Allow, 26: Reject} {
		header, body := withAttachments("x", gzipped(listOf(n)), []byte(listOf(3)))
		v := judgeParts(bodyPolicy(t, nil), Envelope{}, header, body)
		if v.Action != action || v.Exposure.Body != n || v.TooLarge {
			t.Errorf("%d: %s", n, summary(&v))
		}
		if c := v.Exposure.Containers; c.Containers != 1 || c.Addresses != n {
			t.Errorf("%d: %+v", n, c)
		}
	}
}

func TestWhatIsTooLargeToBeSearchedIsRefusedWithWhatWasFound(t *testing.T) {
	list := []byte(listOf(20)[len(listOf(17)):])
	header, body := withAttachments("x", list, bomb, []byte(listOf(100)))
	for _, piece := range []int{1000, 4096, 65537, len(body)} {
		v, _ := feed(bodyPolicy(t, nil).NewJudge(Envelope{}), header, slices.Collect(slices.Chunk(body, piece))...)
		if !v.Refused() || v.Reason != ReasonTooManyInBody || v.Count != 10 || !v.TooLarge || !v.Override {
			t.Errorf("in pieces of %d: %s, count %d", piece, summary(&v), v.Count)
		}
		if shows, advice := v.Refusal(); shows != "an attachment is too large to be searched for addresses (at least 10 found)" || advice != "Take it out" {
			t.Errorf("%s. %s", shows, advice)
		}
	}
}

func TestTheNumberOfWhatIsTooLargeLiftsIt(t *testing.T) {
	for subject, c := range map[string]struct {
		action  Action
		claimed int
	}{"[show 7] x": {Override, -1}, "[show 8] x": {Reject, 8}} {
		header, body := withAttachments(subject, bomb)
		v, after := feed(bodyPolicy(t, nil).NewJudge(Envelope{}), header, body)
		if v.Action != c.action || v.Claimed != c.claimed || v.Count != 7 {
			t.Errorf("%s: %s", subject, summary(&v))
		}
		if v.Action == Override && !bytes.Equal(slices.Concat(v.Header, v.Body, after), bytes.Replace(slices.Concat(header, body), []byte("[show 7] "), nil, 1)) {
			t.Error("more was changed than the tag")
		}
	}
}

func TestReportLetsPassWhatIsTooLarge(t *testing.T) {
	header, body := withAttachments("x", bomb)
	v := judgeParts(bodyPolicy(t, func(s *Settings) { s.Action = Report }), Envelope{}, header, body)
	if v.Action != Report || v.Reason != ReasonTooManyInBody {
		t.Error(summary(&v))
	}
}

func TestAJudgeWithoutMemoryForAContainerSaysSo(t *testing.T) {
	for _, file := range [][]byte{gzipped(listOf(3)), gzipped(listOf(9000))} { // known at its end, and before
		header, body := withAttachments("x", file)
		asked := 0
		j := bodyPolicy(t, nil).NewJudge(Envelope{Take: func(n int) bool { asked += n; return false }})
		feed(j, header, body)
		if !j.Starved() || asked == 0 {
			t.Errorf("starved %v, %d bytes were asked for", j.Starved(), asked)
		}
	}
}

// TestAJudgeMayBeClosedAtAnyTime: what is left over, TestMain finds.
func TestAJudgeMayBeClosedAtAnyTime(t *testing.T) {
	header, body := withAttachments("x", gzipped(string(gzipped(listOf(9000)))), bomb)
	for n := 0; n < len(body); n += 4999 {
		j := bodyPolicy(t, nil).NewJudge(Envelope{})
		j.Header(header)
		j.Body(body[:n])
		j.Close()
	}
}
