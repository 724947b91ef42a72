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
Content-Type: text/plain

Hello, --one and --two
------two--

------one--
`

func TestAMessageThatIsSentAgainHasTheSameContent(t *testing.T) {
	first := identityOf(twoParts)
	if first.MessageID != "<1@home.org>" || first.Subject != "=?utf-8?q?h=C3=A4?= hello" {
		t.Errorf("%+v", first)
	}
	again := strings.NewReplacer("----one", "----three", "----two", "----four", "<1@", "<2@").Replace(twoParts)
	if second := identityOf(again); second.Content != first.Content || second.MessageID == first.MessageID {
		t.Errorf("new boundaries and a new Message-ID: %+v, not %+v", second, first)
	}
}

func TestAnotherTextIsAnotherContent(t *testing.T) {
	first := identityOf(twoParts)
	for name, change := range map[string][2]string{
		"a word":                     {"Hello", "Hullo"},
		"what looks like a boundary": {"--one and", "--three and"},
		"a part header":              {"text/plain", "text/html"},
		"a part less":                {"------two\nContent-Type: text/plain\n\n", ""},
	} {
		if other := identityOf(strings.Replace(twoParts, change[0], change[1], 1)); other.Content == first.Content {
			t.Errorf("%s makes no difference", name)
		}
	}
}
