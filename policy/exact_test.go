package policy

import (
	"bytes"
	"testing"
)

// TestCountsThatMustBeRight holds the counts that real incidents, and the bug
// trackers of other projects, have made famous: each value is a To field.
func TestCountsThatMustBeRight(t *testing.T) {
	p, err := New(Settings{Limits: NoLimits(), Action: Reject, BareNewline: RejectBare})
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]int{
		"a@x, b@y":                     2,
		"a@x\r\nTo: b@y\r\nTO: c@z":    3,
		"a@x; b@y; c@z":                3,
		"a@x b@y":                      2,
		"a@x\r\n b@y":                  2,
		"Doe, John <a@x>, b@y":         2,
		"J\xf6rg <a@x>, b@y":           2,
		"=?x-unknown?q?A?= <a@x>, b@y": 2,
		"=?utf-8?q?h1=40x=2C_h2=40x?=": 2,
		"\"h1@x, h2@x\" <a@x>":         3,
		"a@x (b@y, c@z)":               3,
		"team: a@x, b@y":               2,
		"undisclosed-recipients:;":     0,
		"\"Doe <a@x>, b@y":             2,
		"A <a@x, b@y":                  2,
		"p..o'neil@x, a.@docomo.ne.jp": 2,
		"\"a@x, b@y\"@z":               1,
		"\"'bob@x.com'\" <bob@x.com>, \"'ann@y.com'\" <ann@y.com>": 2,
		"o'neil@x.com, neil@x.com":                                 2,
		"bob@b\u00fccher.example, BOB@xn--bcher-kva.EXAMPLE":       1,
		"a@[192.0.2.1], a@[IPv6:2001:db8::1]":                      2,
	} {
		v := judge(p, Envelope{}, []byte("From: me@home.example\r\nTo: "+value+"\r\n\r\n"))
		if v.Exposure.Visible != want {
			t.Errorf("To: %q shows %d, want %d", value, v.Exposure.Visible, want)
		}
	}
}

// TestCopiesDoNotNeedTheHeaderAnyMore: what it was read into is used for the
// body while copies go out, which once put pieces of the body into their To.
func TestCopiesDoNotNeedTheHeaderAnyMore(t *testing.T) {
	p, err := New(Settings{Limits: Limits{External: 1, Organisations: Unlimited, Total: Unlimited}, Action: Individual, BareNewline: RejectBare})
	if err != nil {
		t.Fatal(err)
	}
	header := []byte("From: me@home.example\r\nTo: Ann <a@x.example>, b@y.example\r\nSubject: news\r\n\r\n")
	j := p.NewJudge(Envelope{Recipients: []string{"a@x.example", "b@y.example"}})
	if next := j.Header(header); next != Hold {
		t.Fatalf("wants %v", next)
	}
	clear(header)
	v := j.End()
	want, _ := v.CopyFor("a@x.example")
	if v.Action != Individual || !bytes.Contains(want, []byte("To: Ann <a@x.example>\r\n")) {
		t.Fatalf("%s: %q", v.Action, want)
	}
}
