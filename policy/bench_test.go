package policy

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"net/mail"
	"strings"
	"testing"

	"github.com/emersion/go-message"
	gomail "github.com/emersion/go-message/mail"
	"github.com/emersion/go-message/textproto"
)

// recipients is an ordinary header with n addresses in To.
func recipients(n int) []byte {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("Firstname Lastname%d <first.last%d@company%d.example>", i, i, i%97)
	}
	return []byte("From: Me <me@home.example>\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@home.example>\r\n" +
		"To: " + strings.Join(list, ",\r\n ") + "\r\nSubject: hello\r\nMIME-Version: 1.0\r\n\r\n")
}

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{5, 50, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchmarkDecide(b, recipients(n)) })
	}
}

func benchmarkDecide(b *testing.B, header []byte) {
	benchmarkPolicy(b, header, Settings{Limits: Limits{External: 10, Organisations: Unlimited, Total: Unlimited}, Action: Reject, Override: true, StripBcc: true, BareNewline: RejectBare})
}

func benchmarkPolicy(b *testing.B, header []byte, s Settings) {
	b.Helper()
	p, err := New(s)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(header)))
	b.ReportAllocs()
	for b.Loop() {
		judgeParts(p, Envelope{Sender: "me@home.example"}, header, nil)
	}
}

// BenchmarkNetMail is what the standard library takes to read the same header
// and its address list, without deciding anything.
func BenchmarkNetMail(b *testing.B) {
	benchmarkRead(b, func(header []byte) (int, error) {
		m, err := mail.ReadMessage(bytes.NewReader(header))
		if err != nil {
			return 0, err
		}
		list, err := m.Header.AddressList("To")
		return len(list), err
	})
}

// BenchmarkGoMessage is the same with go-message.
func BenchmarkGoMessage(b *testing.B) {
	benchmarkRead(b, func(header []byte) (int, error) {
		h, err := textproto.ReadHeader(bufio.NewReader(bytes.NewReader(header)))
		if err != nil {
			return 0, err
		}
		list, err := (&gomail.Header{Header: message.Header{Header: h}}).AddressList("To")
		return len(list), err
	})
}

func benchmarkRead(b *testing.B, read func(header []byte) (int, error)) {
	for _, n := range []int{5, 50, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			header := recipients(n)
			b.SetBytes(int64(len(header)))
			b.ReportAllocs()
			for b.Loop() {
				if got, err := read(header); err != nil || got != n {
					b.Fatal(got, err)
				}
			}
		})
	}
}

// BenchmarkHostile shows that time grows linearly: each shape in three sizes,
// and the throughput must not fall from one to the next.
func BenchmarkHostile(b *testing.B) {
	for name, unit := range map[string]string{
		"open parentheses": "(", "parentheses": "(())", "open quotes": "\"", "quotes and backslashes": "\"\\\"", "at signs": "@", "a@a@a": "a@",
		"encoded words": "=?utf-8?q?a=40b?= ", "half encoded words": "=?", "half encoded words with text": "=?utf-8?q?", "commas": ",", "folds": "\r\n ", "angles": "<",
		"comments in domains": "a@b(c).d", "spaced addresses": "a @ b ", "literals": "a@[", "8-bit": "\xff@\xfe", "tags": "[show 1]", "colons": ":",
		"stray marks": "a@)\"", "quote marks before at signs": "a\"@", "words in both encodings": "=?utf-16?q?a?= =?utf-16?b?YQ?= ", "words that never end": "=?x?q?=",
		"small at signs": "﹫", "sentences": "a@b. c", "marks": "a(@b.c", "shifts": "\x1b$B@@",
	} {
		for _, size := range []int{1 << 16, 1 << 18, 1 << 20} {
			b.Run(fmt.Sprintf("%s/%dk", name, size>>10), func(b *testing.B) {
				text := strings.Repeat(unit, size/2/len(unit))
				benchmarkDecide(b, []byte("From: me@home.example\r\nTo: "+text+"\r\nSubject: "+text+"\r\n\r\n"))
			})
		}
	}
}

// BenchmarkHostileBcc is the same for what a rewrite looks at.
func BenchmarkHostileBcc(b *testing.B) {
	for name, unit := range map[string]string{
		"fields": "Reply-To: a@b\r\n", "type fields": "Content-Type: multipart/a; boundary=a\r\n", "commas": ",", "addresses": "a@b,", "colleagues": "a@home.org,", "half words": "=?", "words": "=?utf-8?q?a=40b,?=,", "long domain": "a.", "quotes": "\"a,", "comments": "(a,",
	} {
		for _, size := range []int{1 << 14, 1 << 16, 1 << 18} {
			b.Run(fmt.Sprintf("%s/%dk", name, size>>10), func(b *testing.B) {
				text := strings.Repeat(unit, size/len(unit))
				if !strings.HasSuffix(name, "fields") {
					text = "Cc: c@d" + text + "\r\n"
				}
				benchmarkPolicy(b, []byte("From: me@home.org\r\nTo: a@x.org, b@y.org\r\n"+text+"\r\n"),
					Settings{Limits: Limits{External: 0, Organisations: 1, Total: 5}, InternalDomains: []string{"home.org", ".home.org"}, Action: Bcc, Override: true, StripBcc: true, BareNewline: RejectBare})
			})
		}
	}
}

// BenchmarkBody is how fast a body streams through, by what is in it.
func BenchmarkBody(b *testing.B) {
	list := strings.Repeat("Firstname Lastname,first.last@company.example,+49 30 12345,Berlin\r\n", 1<<20/66)
	encode := func(text string) string {
		var lines strings.Builder
		for code := base64.StdEncoding.EncodeToString([]byte(text)); len(code) > 0; code = code[min(76, len(code)):] {
			lines.WriteString(code[:min(76, len(code))] + "\r\n")
		}
		return lines.String()
	}
	plain := strings.Repeat("This is an ordinary line of text, as people write it, without addresses.\r\n", 1<<20/74)
	p, err := New(Settings{Limits: Limits{External: Unlimited, Organisations: Unlimited, Total: Unlimited, InBody: MaxInBody}, InspectBody: true, Action: Reject, BareNewline: RejectBare})
	if err != nil {
		b.Fatal(err)
	}
	for name, c := range map[string]struct{ header, body string }{
		"picture":        {"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n", encode(plain)},
		"text":           {"Content-Type: text/plain\r\n\r\n", plain},
		"base64 text":    {"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n", encode(plain)},
		"quoted text":    {"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n", plain},
		"html":           {"Content-Type: text/html\r\n\r\n", strings.ReplaceAll(plain, "ordinary line", `<b style="color: red">ordinary</b> line<br>`)},
		"list":           {"Content-Type: text/csv\r\n\r\n", list},
		"base64 list":    {"Content-Type: text/csv\r\nContent-Transfer-Encoding: base64\r\n\r\n", encode(list)},
		"one long line":  {"Content-Type: text/plain\r\n\r\n", strings.ReplaceAll(plain, "\r\n", " ")},
		"hostile at":     {"Content-Type: text/plain\r\n\r\n", strings.Repeat("a@", 1<<19)},
		"hostile 8-bit":  {"Content-Type: text/plain\r\n\r\n", strings.Repeat("ü@ü.ü ", 1<<17)},
		"hostile tags":   {"Content-Type: text/html\r\n\r\n", strings.Repeat("<a href=\"mailto:&", 1<<16)},
		"hostile < runs": {"Content-Type: text/html\r\n\r\n", strings.Repeat("<<a>", 1<<18)},
		"hostile parts":  {"Content-Type: multipart/mixed; boundary=b\r\n\r\n", strings.Repeat("--b\r\n\r\nx\r\n", 1<<17)},
	} {
		b.Run(name, func(b *testing.B) {
			body := []byte(c.body)
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				j := p.NewJudge(Envelope{})
				j.Header([]byte(c.header))
				for p := body; len(p) > 0; p = p[min(256<<10, len(p)):] {
					j.Body(p[:min(256<<10, len(p))])
				}
				j.End()
			}
		})
	}
}
