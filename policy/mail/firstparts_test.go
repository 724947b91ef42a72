package mail

import (
	"strings"
	"testing"
)

// TestACopyOfAHeaderIsParsedOnce, however often more of the body is looked at.
func TestACopyOfAHeaderIsParsedOnce(t *testing.T) {
	defer func() { parse = ParseHeader }()
	parsed := map[string]int{}
	parse = func(raw []byte) Header {
		parsed[string(raw)]++
		return ParseHeader(raw)
	}
	h := ParseHeader([]byte("Content-Type: multipart/signed; boundary=a; boundary=b\r\n\r\n"))
	body := "--a\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
		"To: a=40x.org\r\n\r\n--c--\r\n--a--\r\n" + strings.Repeat("x\r\n", 10) + "--b\r\nTo: b@x.org\r\n\r\n"
	f := h.FirstParts()
	for n := 0; n < len(body); n += 7 {
		f.Look([]byte(body[:n]), false)
	}
	f.Look([]byte(body), true)
	if len(parsed) < 3 || len(f.Found) < 3 {
		t.Errorf("found %d, parsed %v", len(f.Found), parsed)
	}
	for header, n := range parsed {
		if n != 1 {
			t.Errorf("%q was parsed %d times", header, n)
		}
	}
}

// TestALookAtTheStartOfAnEncodedMessageSeesNoEndThatIsNone: where the text is cut
// within what encodes one byte, or behind a soft line break, the next look goes on.
func TestALookAtTheStartOfAnEncodedMessageSeesNoEndThatIsNone(t *testing.T) {
	h := ParseHeader([]byte("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"))
	const body = "X: y=0D=0A=\r\n=0D=\r\n=41: z=\r\n\r\nTo: a=40x.org\r\n\r\nContent-Type: x\r\n\r\n"
	whole := h.FirstParts()
	whole.Look([]byte(body), true)
	for cut := range len(body) {
		f := h.FirstParts()
		f.Look([]byte(body[:cut]), false)
		if !f.More && (len(f.Found) != len(whole.Found) || string(f.Found[0].Raw) != string(whole.Found[0].Raw)) {
			t.Errorf("cut at %d: %q, not %q", cut, f.Found[0].Raw, whole.Found[0].Raw)
		}
		f.Look([]byte(body), true)
		if len(f.Found) != len(whole.Found) || string(f.Found[0].Raw) != string(whole.Found[0].Raw) {
			t.Errorf("cut at %d, then whole: %q, not %q", cut, f.Found[0].Raw, whole.Found[0].Raw)
		}
	}
}
