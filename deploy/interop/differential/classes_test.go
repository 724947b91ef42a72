package main

import (
	"slices"
	"strings"
	"testing"
)

// farCopy is a message with a copy of its header behind so many bytes.
func farCopy(size int) string {
	return "From: me@home.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("x\r\n", size/3) +
		"--b\r\nContent-Type: text/plain; protected-headers=\"v1\"\r\nTo: a@x.example\r\n\r\n\r\n--b--\r\n"
}

// inBase64 is a message with a boundary, and an address in base64 between it.
func inBase64(boundary string) string {
	return "Content-Type: multipart/mixed; boundary=" + boundary + "\r\n\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\nYUB4Lm9yZw==\r\n--b--\r\n"
}

// TestAClassIsOneCause: a message with the cause of a class is put into it, and one
// near by, without the cause, reads the same in both versions.
func TestAClassIsOneCause(t *testing.T) {
	to := func(value string) string { return "From: me@home.example\r\nTo: " + value + "\r\n\r\n" }
	text := func(body string) string { return "From: me@home.example\r\n\r\n" + body }
	html := func(body string) string {
		return "From: me@home.example\r\nContent-Type: text/html\r\n\r\n<p>" + body + "</p>\r\n"
	}
	part := func(header, content string) string {
		return "From: me@home.example\r\nTo: a@x.example, b@x.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + header + "\r\n\r\n" + content + "\r\n--b--\r\n"
	}
	list := "From: me@home.example\r\nTo: a@x.example, b@x.example\r\n"
	for name, c := range map[string]struct{ in, out string }{
		"charset labels that the library lacks":         {to("=?cp932?B?jlKTY4FAkb6YWQ==?= <a@x.example>"), to("=?shift_jis?B?jlKTY4FAkb6YWQ==?= <a@x.example>")},
		"characters of East Asia whose bytes have an @": {to("\x8eR\x93c\x81@\x91\xbe\x98Y <a@x.example>"), to("\x8eR\x93c\x81@\x91\xbe.example <a@x.example>")},
		"a full-width @": {to("a＠x.example"), to("a＠example")},
		"a dot ends a sentence in an encoded word":               {to("=?utf-8?q?It._bob=40x.example?= <bob@x.example>"), to("=?utf-8?q?It_bob=40x.example?= <bob@x.example>")},
		"brackets, quote marks and blanks of other scripts":      {to("\"山（a@x.example）\" <a@x.example>"), to("\"山(a@x.example)\" <a@x.example>")},
		"blanks of no width":                                     {to("a\u200b@x.example, a@x.example"), to("a\u200d@x.example, b@x.example")},
		"a quoted local part is the same address":                {to("\"a..c\"@x.example, a..c@x.example"), to("\"a..c\"@x.example, a.c@x.example")},
		"blanks and comments beside the dots of a domain":        {to("<a@mail.\r\n x.example>, <a@mail.\r\n y.example>"), to("<a@mail.x.example>,\r\n <a@mail.y.example>")},
		"blanks and comments in a local part":                    {to("a(c).b@x.example, a.b@x.example"), to("a.b@x.example (c)")},
		"a local part of several words in angle brackets":        {to("<user1 0@x.example>, <user2 0@x.example>"), to("user1 0@x.example, user2 0@x.example")},
		"a stray mark beside an @":                               {to("ann@>x.example"), to("ann@> x")},
		"Bcc fields of applications":                             {list + "X-Odoo-Bcc: c@x.example\r\nX-Notes-Item: d@x.example; name=SendTo\r\n\r\n", list + "X-Odoo-Copy: c@x.example\r\n\r\n"},
		"invitations by other types and names":                   {part("Content-Type: application/ics", "x"), part("Content-Type: application/icsx", "x")},
		"copies of the header in message/news":                   {"From: me@home.example\r\nContent-Type: message/news\r\n\r\nTo: a@x.example\r\n\r\n", "From: me@home.example\r\nContent-Type: message/new\r\n\r\nTo: ax.example\r\n\r\n"},
		"several transfer encodings":                             {"From: me@home.example\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\nContent-Transfer-Encoding: 7bit\r\n\r\nTo: a@x.example\r\n\r\n", "From: me@home.example\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\nTo: a@x.example\r\n\r\n"},
		"copies of the header behind 64 KiB":                     {farCopy(66 << 10), farCopy(60 << 10)},
		"comments and quoted pairs in a boundary":                {inBase64("()b"), inBase64("b")},
		"bcc leaves nobody in To":                                {"From: me@home.example\r\nCc: a@x.example, b@x.example\r\nDKIM-Signature: v=1; h=to\r\n\r\n", list + "Cc: c@corp.example\r\n\r\n"},
		"bcc keeps a Reply-To of one mailbox, less its name":     {"From: k@x.example, i@x.example\r\nTo: a@x.example\r\nReply-To: \"j@y.example\" <i@x.example>\r\n\r\n", list + "Reply-To: <i@x.example>\r\n\r\n"},
		"UTF-7 is undone before HTML is read":                    {"Content-Type: text/html; charset=utf-7\r\n\r\n<p>+ADw-p title=a@x.example+AD4-</p>", "Content-Type: text/html; charset=utf-7\r\n\r\n<p>a@x.example</p>"},
		"ibm037 over plain text":                                 {"Content-Type: text/plain; charset=ibm037\r\n\r\na@x.example\r\n", "Content-Type: text/plain; charset=us-ascii\r\n\r\na@x.example\r\n"},
		"text is what its bytes are":                             {"Content-Type: application/json\r\n\r\n\"a@x.example\"\r\n", "Content-Type: text/json\r\n\r\n\"a@x.example\"\r\n"},
		"zip, gzip and OLE files are read":                       {"Content-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n\r\nH4sIAAAAAAACA6tyqNBLrUjMLchJVShHsHm5AMGPirYZAAAA\r\n", "Content-Type: application/pdf\r\n\r\n%PDF-1.4\r\n"},
		"full-width dots of a domain":                            {text("a@x．example\r\n"), text("a@x。example\r\n")},
		"dots at the end make no dotted domain":                  {text("a@x-。\r\n"), text("a@x.\r\n")},
		"an invitation by its bytes":                             {text("BEGIN:VCALENDAR\r\na@x.example\r\n"), text("BEGIN:VCALENDER\r\na@x.example\r\n")},
		"vCards by their bytes, in quoted-printable":             {text("BEGIN:VCARD\r\nEMAIL:a=40x.example\r\n"), text("BEGIN:VTODO\r\nEMAIL:a=40x.example\r\n")},
		"what is hidden in HTML opens nothing":                   {html("<!-- <p>a -->@x.example <!-- b@<i>x.example -->"), html("a@x.example <!-- b -->")},
		"tags that do not part a word":                           {html("a<kbd>@</kbd>x.example"), html("<kbd>a@x.example</kbd>")},
		"quoted text counts":                                     {text("> a@x.example\r\n"), text("| a@x.example\r\n")},
		"whom the header shows is left out":                      {list + "\r\na@x.example\r\n", list + "\r\nc@x.example\r\n"},
		"control characters end a word":                          {text("a\x7fb@x.example b@x.example\r\n"), text("a b@x.example b@x.example\r\n")},
		"names of messages: folded, and with other words behind": {text("References: <1@x.example>\r\n <2@x.example>\r\n"), text("References: <1@x.example>\r\n")},
		"mailto:// is no URL":                                    {text("mailto://a@x.example\r\n"), text("mailtoo://a@x.example\r\n")},
		"www.host/@name, and what ends with / before an @":       {text("www.x.example/@a.example/b\r\n"), text("ftp://x.example/@a.example/b\r\n")},
		"labels of digits, or digits and x":                      {text("a@2x.example\r\n"), text("a@x2.example\r\n")},
		"git@host:path":                                          {text("git@x.example:path\r\n"), text("gut@x.example:path\r\n")},
		"@name@host":                                             {text("@a@x.example\r\n"), text("a@x.example\r\n")},
		"top-level domains that no registry has":                 {text("a@x.nosuch\r\n"), text("a@x.org <a@x.nosuch>\r\n")},
		"a domain does not begin with a dot":                     {text("a@.x.example\r\n"), text("a@x.example.\r\n")},
		"mail= before an address":                                {text("mail=a@x.example, a@x.example\r\n"), text("mail a@x.example, a@x.example\r\n")},
		"a quote mark within a word begins no local part":        {text("x\"a\"@x.example\r\n"), text("x \"a\"@x.example\r\n")},
	} {
		index := slices.IndexFunc(slices.Concat(headerClasses, bodyClasses), func(c class) bool { return c.name == name })
		if index < 0 {
			t.Errorf("%s: no such class", name)
			continue
		}
		body := 0
		if index >= len(headerClasses) {
			body = 1
		}
		p, err := newPair(1, body)
		if err != nil {
			t.Fatal(err)
		}
		in, out := parse([]byte(c.in)), parse([]byte(c.out))
		if p.agree(in) || !slices.Concat(headerClasses, bodyClasses)[index].explains(p, in) {
			t.Errorf("%s does not explain %q: before %+v, now %+v", name, c.in, p.before(in), p.now(in))
		}
		if !p.agree(out) {
			t.Errorf("%s: there is a difference in %q, too: before %+v, now %+v", name, c.out, p.before(out), p.now(out))
		}
	}
}
