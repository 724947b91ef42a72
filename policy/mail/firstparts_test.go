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
