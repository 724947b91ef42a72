package policy

import (
	"strings"
	"testing"
)

func identityOf(message string) Identity {
	header, body, _ := strings.Cut(strings.ReplaceAll(message, "\n", "\r\n"), "\r\n\r\n")
	print := NewFingerprint([]byte(header + "\r\n\r\n"))
	print.Write([]byte(body))
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

func TestAMessageWithoutAMessageIDIsKnownByItsDate(t *testing.T) {
	const date = "Thu, 26 Nov 2026 02:00:00 +0000"
	if id := identityOf("Date: " + date + "\nSubject: x\n\ny\n"); id.MessageID != date {
		t.Errorf("%+v", id)
	}
}

func TestAnotherTextIsAnotherContent(t *testing.T) {
	first := identityOf(twoParts)
	for name, change := range map[string][2]string{
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
