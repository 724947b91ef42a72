package policy

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"sendguard/policy/mail"
)

func identityOf(message string) Identity {
	header, body, _ := strings.Cut(strings.ReplaceAll(message, "\n", "\r\n"), "\r\n\r\n")
	return identityOfPieces([]byte(header+"\r\n\r\n"), []byte(body))
}

func identityOfPieces(header []byte, body ...[]byte) Identity {
	h := mail.ParseHeader(header)
	print := newFingerprint(&h)
	w := mail.NewWalk(&h, print)
	for _, piece := range body {
		w.Write(piece)
	}
	w.Close()
	return print.Identity()
}

const twoParts = `Message-ID: <1@home.org>
Subject: =?utf-8?q?h=C3=A4?=
 hello
Content-Type: multipart/mixed; boundary="----one"

------one
Content-Type: multipart/alternative;
 boundary="----two"

------two
Content-Type: text/html
Content-ID: <part1.three@home.org>

Hello, --one and --two <img src="cid:part1.three@home.org">
------two--

------one--
`

func TestAMessageThatIsSentAgainHasTheSameContent(t *testing.T) {
	first := identityOf(twoParts)
	if first.MessageID != "<1@home.org>" || first.Subject != "=?utf-8?q?h=C3=A4?= hello" {
		t.Errorf("%+v", first)
	}
	anew := strings.NewReplacer("----one", "----three", "----two", "----four", "<1@", "<2@", "part1.three", "part1.four")
	again := anew.Replace(twoParts)
	folded := strings.Replace(twoParts, "\n boundary=\"----two", "\n boundary=\n \"----two", 1)
	if identityOf(folded).Content != identityOf(anew.Replace(folded)).Content {
		t.Error("a boundary that is folded makes a difference")
	}
	if second := identityOf(again); second.Content != first.Content || second.MessageID == first.MessageID {
		t.Errorf("new boundaries and a new Message-ID: %+v, not %+v", second, first)
	}
}

// withPicture is HTML with a picture, as Thunderbird 153 sends it: the parameters are the
// boundary, and the names of the picture as a part and as a file, the latter two times.
const withPicture = `Subject: pictures
Content-Type: multipart/related;
 boundary="------------%[1]s"

--------------%[1]s
Content-Type: text/html; charset=UTF-8
%[4]s
--------------%[1]s
Content-Type: image/png; name="%[3]s.png"
Content-Disposition: inline; filename="%[3]s.png"
Content-Id: <part1.%[2]s@example.org>
Content-Transfer-Encoding: base64

iVBORw0KGgo=

--------------%[1]s--
`

func TestAPictureInTheTextThatIsNamedAnewMakesNoDifference(t *testing.T) {
	encodings := map[string]func(html string) string{
		"8bit": func(html string) string { return "Content-Transfer-Encoding: 8bit\n\n" + html },
		"quoted-printable": func(html string) string { // the names are cut at the end of a line
			return "Content-Transfer-Encoding: quoted-printable\n\n" + strings.NewReplacer("=", "=3D", ".", ".=\n").Replace(html)
		},
		"base64": func(html string) string {
			text := base64.StdEncoding.EncodeToString([]byte(html))
			return "Content-Transfer-Encoding: base64\n\n" + text[:40] + "\n" + text[40:] + "\n"
		},
	}
	for name, encoded := range encodings {
		message := func(boundary, part, file, text string) Identity {
			html := "<p>" + text + "</p><img src=\"cid:part1." + part + "@example.org\">\n"
			return identityOf(fmt.Sprintf(withPicture, boundary, part, file, encoded(html)))
		}
		first := message("c9TkHAuaf4j1lsz0kFWqfzBw", "gXIEFDy6.q2gkU5lB", "rjd7KSCZxMgNs1tr", "Hello")
		if again := message("A02rtsAwlWGiauUpgYh80lty", "gl70cuXx.bgkc87Q9", "yMTSW7fr019VqWtD", "Hello"); again != first {
			t.Errorf("%s: it is another content", name)
		}
		if other := message("c9TkHAuaf4j1lsz0kFWqfzBw", "gXIEFDy6.q2gkU5lB", "rjd7KSCZxMgNs1tr", "Hullo"); other == first {
			t.Errorf("%s: another text is the same content", name)
		}
	}
}

func TestAMessageThatIsSignedAnewHasTheSameContent(t *testing.T) {
	const message = "Content-Type: multipart/signed; boundary=b\n\n--b\n\n%s\n--b\nContent-Type: application/pkcs7-signature; name=smime.p7s\n\n%s\n--b--\n"
	first := identityOf(fmt.Sprintf(message, "Hello", "MIIa"))
	if again := identityOf(fmt.Sprintf(message, "Hello", "MIIb")); again != first {
		t.Error("it is another content")
	}
	if other := identityOf(fmt.Sprintf(message, "Hullo", "MIIa")); other == first {
		t.Error("another text is the same content")
	}
}

func TestAMessageWithoutAMessageIDIsKnownByItsDate(t *testing.T) {
	const date = "Thu, 26 Nov 2026 02:00:00 +0000"
	if id := identityOf("Date: " + date + "\nSubject: x\n\ny\n"); id.MessageID != date {
		t.Errorf("%+v", id)
	}
}

func TestAnotherTextIsAnotherContent(t *testing.T) {
	twoParts := strings.Replace(twoParts, "Content-ID: <part1.three@home.org>", "Content-Disposition: attachment; filename=b", 1)
	first := identityOf(twoParts)
	for name, change := range map[string][2]string{
		"the name of an attachment":  {"filename=b", "filename=c"},
		"a word":                     {"Hello", "Hullo"},
		"what looks like a boundary": {"--one and", "--three and"},
		"a part header":              {"text/html", "text/plain"},
		"a part less":                {"------two\nContent-Type: text/html\n", ""},
	} {
		if other := identityOf(strings.Replace(twoParts, change[0], change[1], 1)); other.Content == first.Content {
			t.Errorf("%s makes no difference", name)
		}
	}
}
