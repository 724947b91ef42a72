package policy

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// FuzzDecide: every header has a verdict; what passes unchanged is the bytes
// that came; a rewrite only cuts bytes out, and its result needs no other.
func FuzzDecide(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		if len(text) < 1<<14 {
			_, header, _ := strings.Cut(string(text), "\n\n")
			f.Add([]byte(strings.ReplaceAll(header, "\n", "\r\n")))
		}
	}
	p, err := New(Settings{InternalDomains: []string{"home.org", ".home.org"}, External: 1, Organisations: Unlimited, Total: 3, Action: Reject, Override: true, StripBcc: true, BareNewline: RejectBare})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header []byte) {
		if end := bytes.Index(header, []byte("\r\n\r\n")); end >= 0 {
			header = header[:end+4] // what follows is no header
		}
		before := bytes.Clone(header)
		v := p.Decide(Message{Header: header, Sender: "me@home.org"})
		if !bytes.Equal(header, before) {
			t.Fatal("the input was changed")
		}
		if e := v.Exposure; e.Visible != e.Internal+e.External {
			t.Fatalf("%+v does not add up", e)
		}
		switch {
		case v.Refused():
			if v.Header != nil || v.Reason == ReasonNone {
				t.Fatalf("%+v", v)
			}
			return
		case !v.Rewritten:
			if !bytes.Equal(v.Header, header) {
				t.Fatalf("%q became %q", header, v.Header)
			}
			return
		}
		if len(v.Header) >= len(header) || parseHeader(v.Header).defect != (defect{}) {
			t.Fatalf("%q was rewritten to %q", header, v.Header)
		}
		if got, want := kinds(v.Header, signed(header)), kinds(header, signed(header)); !slices.Equal(got, want) {
			t.Fatalf("%q was rewritten to %q: fields %v, not %v", header, v.Header, got, want)
		}
		again := p.Decide(Message{Header: v.Header, Sender: "me@home.org"})
		if again.Rewritten && v.Action != Override || again.Exposure.Visible != v.Exposure.Visible {
			t.Fatalf("%q was rewritten to %q, which shows %d, not %d", header, v.Header, again.Exposure.Visible, v.Exposure.Visible)
		}
	})
}

// FuzzConceal: what bcc lets pass shows no outside address any more, and the
// fields that hold none are the bytes that came.
func FuzzConceal(f *testing.F) {
	for _, to := range []string{"a@x.org, ann@home.org", "\"ann@x.org\" <ann@home.org>", "team: a@x.org, b@home.org;", "(a@x.org) ann@home.org", "=?utf-8?q?a=40x.org?= <ann@home.org>", "a@x.org ann@home.org"} {
		f.Add([]byte("From: me@home.org\r\nX-A: b\r\n c\r\nTo: " + to + "\r\nCc: " + to + "\r\nSubject: x\r\n\r\n"))
	}
	p, err := New(Settings{InternalDomains: []string{"home.org"}, External: 0, Organisations: Unlimited, Total: Unlimited, Action: Bcc, StripBcc: true, BareNewline: RejectBare})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header []byte) {
		v := p.Decide(Message{Header: header, Sender: "me@home.org"})
		if v.Action != Bcc {
			return
		}
		again := p.Decide(Message{Header: v.Header, Sender: "me@home.org"})
		if again.Action != Allow || again.Exposure.External > 0 || v.Concealed < 1 {
			t.Fatalf("%q was rewritten to %q, which is %+v", header, v.Header, again)
		}
		if got, want := otherFields(v.Header), otherFields(header); !slices.EqualFunc(got, want, bytes.Equal) {
			t.Fatalf("%q was rewritten to %q: other fields %q, not %q", header, v.Header, got, want)
		}
	})
}

// otherFields are the fields that bcc must leave alone.
func otherFields(raw []byte) (all [][]byte) {
	h := parseHeader(raw)
	for _, f := range h.fields {
		if !concealed[f.kind] {
			all = append(all, raw[f.start:f.end])
		}
	}
	return all
}

func signed(raw []byte) [kindCount]bool {
	h := parseHeader(raw)
	return h.signedKinds()
}

// kinds lists the fields of a header, less those that are taken out.
func kinds(raw []byte, signed [kindCount]bool) (all []fieldKind) {
	h := parseHeader(raw)
	for _, f := range h.fields {
		if f.kind != kindBcc && f.kind != kindResentBcc || signed[f.kind] {
			all = append(all, f.kind)
		}
	}
	return all
}

// FuzzCopies: no body breaks the search for copies of the header, and what it
// finds only adds to the count.
func FuzzCopies(f *testing.F) {
	f.Add([]byte("multipart/signed; boundary=b"), []byte("--b\r\nTo: a@x.org\r\n\r\n"))
	f.Add([]byte("message/rfc822"), []byte("Content-Type: multipart/signed; boundary=\"\"\r\nTo: a@x.org\r\n\r\n"))
	p, err := New(Settings{External: Unlimited, Organisations: Unlimited, Total: Unlimited, Action: Reject, BareNewline: RejectBare})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, contentType, body []byte) {
		header := slices.Concat([]byte("From: me@home.org\r\nTo: c@x.org\r\nContent-Type: "), contentType, []byte("\r\n\r\n"))
		alone := p.Decide(Message{Header: header})
		with := p.Decide(Message{Header: header, Body: body})
		if with.Exposure.Visible < alone.Exposure.Visible {
			t.Fatalf("%q %q: %d, without the body %d", contentType, body, with.Exposure.Visible, alone.Exposure.Visible)
		}
	})
}

// FuzzScan: whatever stands round an address, it counts.
func FuzzScan(f *testing.F) {
	for _, s := range []string{"", "\"", "(", "<", "a@b.org,", "(((", "\"\\", "team:", "=?utf-8?q?", "[", "@", "a@[", "'", "x@y(", "((a)", "\r\n ", ";", "Ann @"} {
		f.Add([]byte(s), []byte(""))
		f.Add([]byte(s), []byte("\", (\">)]b@c.org"))
	}
	for _, v := range corpusValues(f) {
		f.Add(v, v)
	}
	f.Fuzz(func(t *testing.T, before, after []byte) {
		if bytes.Contains(before, encodedWordStart) && bytes.Contains(after, []byte("?=")) {
			return // it may be inside of an encoded word
		}
		if bytes.IndexByte(before, '"') >= 0 && bytes.Contains(after, []byte("\"")) && bytes.IndexByte(after, '@') >= 0 {
			return // it may be a part of a quoted local part
		}
		value := append(append(bytes.Clone(before), " probe@probe.example "...), after...)
		found := false
		scanAddresses(value, func(local, domain []byte) {
			found = found || strings.HasSuffix(string(normalLocal(nil, local)), "probe") && strings.HasPrefix(string(normalDomain(nil, domain)), "probe.example")
		})
		if !found {
			t.Fatalf("%q does not show probe@probe.example", value)
		}
	})
}

// corpusValues are the address headers of address_cases.jsonl in the folder
// that SENDGUARD_CORPUS names, where it does.
func corpusValues(f *testing.F) (all [][]byte) {
	dir := os.Getenv("SENDGUARD_CORPUS")
	if dir == "" {
		return nil
	}
	file, err := os.Open(filepath.Join(dir, "address_cases.jsonl"))
	if err != nil {
		f.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var c struct {
			Value  string `json:"header_value"`
			Base64 string `json:"header_value_b64"`
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			f.Fatal(err)
		}
		value := []byte(c.Value)
		if c.Base64 != "" {
			if value, err = base64.StdEncoding.DecodeString(c.Base64); err != nil {
				f.Fatal(err)
			}
		}
		all = append(all, value)
	}
	return all
}
