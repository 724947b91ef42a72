package policy

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sendguard/policy/internal/casefile"
	"sendguard/policy/mail"
)

// FuzzDecide: every header has a verdict; what passes unchanged is the bytes
// that came; a rewrite only cuts bytes out, and its result needs no other.
func FuzzDecide(f *testing.F) {
	for _, path := range casefile.Paths(f, "testdata", "*") {
		if message := casefile.Wire(f, casefile.Read(f, path).Message); len(message) < 1<<14 {
			f.Add(message)
		}
	}
	p, err := New(Settings{Limits: Limits{External: 1, Organisations: Unlimited, Total: 3}, InternalDomains: []string{"home.org", ".home.org"}, Action: Reject, Override: true, StripBcc: true, BareNewline: RejectBare})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header []byte) {
		if end := bytes.Index(header, []byte("\r\n\r\n")); end >= 0 {
			header = header[:end+4] // what follows is no header
		}
		before := bytes.Clone(header)
		v := judgeParts(p, me, header, nil)
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
			if v.Header != nil {
				t.Fatalf("%q became %q", header, v.Header)
			}
			return
		}
		want := kinds(header, signed(header))
		if len(want) == 0 { // none is left: To without anybody stands in
			want = []mail.Kind{mail.To}
		} else if len(v.Header) >= len(header) {
			t.Fatalf("%q was rewritten to %q", header, v.Header)
		}
		if mail.ParseHeader(v.Header).Defect != (mail.Defect{}) {
			t.Fatalf("%q was rewritten to %q", header, v.Header)
		}
		if got := kinds(v.Header, signed(header)); !slices.Equal(got, want) {
			t.Fatalf("%q was rewritten to %q: fields %v, not %v", header, v.Header, got, want)
		}
		again := judgeParts(p, me, v.Header, nil)
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
	f.Add([]byte("To:a@x.org\r\n\r\nCc:b@x.org"))
	p, err := New(Settings{Limits: Limits{External: 0, Organisations: Unlimited, Total: Unlimited}, InternalDomains: []string{"home.org"}, Action: Bcc, StripBcc: true, BareNewline: RejectBare})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header []byte) {
		v := judgeParts(p, me, header, nil)
		if v.Action != Bcc {
			return
		}
		again := judgeParts(p, me, v.Header, nil)
		if again.Action != Allow || again.Exposure.External > 0 || v.Concealed < 1 {
			t.Fatalf("%q was rewritten to %q, which is %+v", header, v.Header, again)
		}
		if got, want := otherFields(v.Header), otherFields(header); !slices.EqualFunc(got, want, bytes.Equal) {
			t.Fatalf("%q was rewritten to %q: other fields %q, not %q", header, v.Header, got, want)
		}
	})
}

// FuzzIndividual: the copy for a recipient shows no address but theirs and the
// sender's, in the header or in a copy of it, and all other bytes are those that
// came.
func FuzzIndividual(f *testing.F) {
	for _, to := range []string{"a@x.org, b@y.org", "\"c@z.org\" <a@x.org>, B <b@y.org>", "team: a@x.org, b@y.org;", "(c@z.org) a@x.org b@y.org", "=?utf-8?q?c=40z.org?= <a@x.org>"} {
		f.Add([]byte("From: me@home.org\r\nTo: "+to+"\r\nCc: "+to+"\r\nSubject: x\r\n\r\n"), []byte{}, "a@x.org")
		f.Add([]byte("From: me@home.org\r\nTo: "+to+"\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"), []byte("--b\r\nTo: "+to+"\r\n\r\nHello\r\n"), "@r.org:\"a b\"@x.org")
	}
	p, err := New(Settings{Limits: Limits{External: 0, Organisations: Unlimited, Total: Unlimited}, Action: Individual, StripBcc: true, BareNewline: RejectBare})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header, body []byte, recipient string) {
		if end := bytes.Index(header, []byte("\r\n\r\n")); end >= 0 {
			header = header[:end+4]
		}
		if strings.ContainsFunc(recipient, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return // the wire refuses it
		}
		v := judgeParts(p, Envelope{Sender: me.Sender, Recipients: []string{recipient}}, header, body)
		if v.Action != Individual {
			return
		}
		outer := mail.ParseHeader(header)
		known := ownAddresses(&outer, me.Sender)
		known.AddPath(recipient)
		known.Scan([]byte(mail.WithoutRoute(recipient))) // as it reads
		copied, start := v.CopyFor(recipient)
		again := mail.ParseHeader(copied)
		first := again.FirstParts()
		first.Look(start, true)
		for _, h := range append(first.Found, mail.ShownHeader{Header: again}) {
			for _, field := range h.Fields {
				if !concealed[field.Kind] || field.Kind == mail.ReplyTo {
					continue
				}
				for a := range mail.DistinctAddresses(h.Value(field)).All() {
					if !known.Has(a) {
						t.Fatalf("%q %q for %q became %q %q", header, body, recipient, copied, start)
					}
				}
			}
		}
		if got, want := otherFields(copied), otherFields(header); !slices.EqualFunc(got, want, bytes.Equal) {
			t.Fatalf("%q was rewritten to %q: other fields %q, not %q", header, copied, got, want)
		}
	})
}

// otherFields are the fields that bcc must leave alone.
func otherFields(raw []byte) (all [][]byte) {
	h := mail.ParseHeader(raw)
	for _, f := range h.Fields {
		if !concealed[f.Kind] {
			all = append(all, raw[f.Start:f.End])
		}
	}
	return all
}

func signed(raw []byte) [mail.Kinds]bool {
	h := mail.ParseHeader(raw)
	return h.SignedKinds()
}

// kinds lists the fields of a header, less those that are taken out.
func kinds(raw []byte, signed [mail.Kinds]bool) (all []mail.Kind) {
	h := mail.ParseHeader(raw)
	for _, f := range h.Fields {
		if !mail.IsBcc[f.Kind] || signed[f.Kind] {
			all = append(all, f.Kind)
		}
	}
	return all
}

// FuzzFingerprint: how a body comes in pieces makes no difference, and what is
// in it does.
func FuzzFingerprint(f *testing.F) {
	header := []byte("Message-ID: <1@home.org>\r\nSubject: a\r\n b\r\nContent-Type: multipart/mixed; boundary=one\r\n\r\n")
	f.Add([]byte("--one\r\nContent-Type: multipart/alternative;\r\n boundary=\"two\"\r\n\r\n--two\r\n\r\nHello\r\n--two--\r\n--one--\r\n"), 7)
	f.Add([]byte("--one\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<img src=3D\"cid:part1=\r\n.x@y\">c\r\n"), 80)
	f.Add([]byte("--one\r\nContent-ID: <a>\r\nContent-Type: image/png; name=a\r\nContent-Disposition: inline;\r\n filename*0=\"b\"\r\n\r\nci"), 40)
	f.Add(bytes.Repeat([]byte("x"), 12<<10), 100)
	f.Add([]byte("--one\r\nContent-Type: multipart/mixed\r\n\r\n--a"), 0)
	f.Fuzz(func(t *testing.T, body []byte, cut int) {
		whole := identityOfPieces(header, body)
		cut = max(0, min(cut, len(body)))
		if separated := identityOfPieces(header, body[:cut], body[cut:]); separated != whole {
			t.Fatalf("%q separated at %d", body, cut)
		}
		encoded := regexp.MustCompile(`(?i)cid:|content-id|encoding|signature`).Match(body)       // an x may be left out there
		if other := identityOfPieces(header, body, []byte("\r\nx")); other == whole && !encoded { // at the end of a line it may belong to a boundary
			t.Fatalf("%q and a line with x more", body)
		}
	})
}

// FuzzCopies: no body breaks the search for copies of the header, and what it
// finds only adds to the count.
func FuzzCopies(f *testing.F) {
	f.Add([]byte("multipart/signed; boundary=b"), []byte("--b\r\nTo: a@x.org\r\n\r\n"))
	many := strings.Repeat("multipart/a; boundary=a; boundary=b; boundary=c\r\nContent-Type: ", 20)
	f.Add([]byte(many), []byte(strings.Repeat("--a\r\nContent-Type: "+many+"x\r\n\r\n--b\r\n\r\n--c\r\nTo: a@x.org\r\n\r\n", 20)))
	f.Add([]byte("message/rfc822"), []byte("Content-Type: multipart/signed; boundary=\"\"\r\nTo: a@x.org\r\n\r\n"))
	p, err := New(Settings{Limits: NoLimits(), Action: Reject, BareNewline: RejectBare})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, contentType, body []byte) {
		header := slices.Concat([]byte("From: me@home.org\r\nTo: c@x.org\r\nContent-Type: "), contentType, []byte("\r\n\r\n"))
		alone := judgeParts(p, Envelope{}, header, nil)
		with := judgeParts(p, Envelope{}, header, body)
		if with.Exposure.Visible < alone.Exposure.Visible {
			t.Fatalf("%q %q: %d, without the body %d", contentType, body, with.Exposure.Visible, alone.Exposure.Visible)
		}
	})
}
