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

// TestTwoHeadersThatEndAtOnePlaceMayNameTwoEncodings: what the one says is behind
// them was once taken for what the other says, and the judge fell over it.
func TestTwoHeadersThatEndAtOnePlaceMayNameTwoEncodings(t *testing.T) {
	h := ParseHeader([]byte("Content-Type: multipart/mixed; boundary=a; boundary=b\r\n\r\n"))
	const text = "VG86IGFAeC5vcmcNCkNjOiBiQHgub3JnDQoNCg=="
	body := "--a\r\nContent-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: base64\r\n--b\r\n" +
		"Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + text + "\r\n\r\n"
	f := h.FirstParts()
	f.Look([]byte(body), true)
	var found []string
	for _, c := range f.Found {
		if c.Raw[0] == 'V' && len(c.Fields) > 0 {
			t.Errorf("%q has the fields of another header", c.Raw)
		}
		found = append(found, string(c.Raw))
	}
	for _, want := range []string{"To: a@x.org\r\nCc: b@x.org\r\n\r\n", text + "\r\n\r\n"} {
		found := strings.Join(found, "|")
		if strings.HasPrefix(want, text) {
			want = strings.TrimRight(text, "=") // what quoted-printable makes of it
		}
		if !strings.Contains(found, want) {
			t.Errorf("found %q, lacks %q", found, want)
		}
	}
}
