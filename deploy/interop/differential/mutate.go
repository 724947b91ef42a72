package main

import (
	"bytes"
	"math/rand/v2"
)

// A mutator makes messages from seeds.
type mutator struct {
	*rand.Rand
	seeds []message // those that the versions agree about first
	agree int       // so many
	words [][]byte
	what  string
}

func newMutator(seed uint64, what string, p *pair, seeds []message) *mutator {
	words := headerWords
	if what == "bodies" {
		words = bodyWords
	}
	m := &mutator{Rand: rand.New(rand.NewPCG(seed, 0)), what: what}
	var differ []message
	for _, seed := range seeds {
		if p.agree(seed) {
			m.seeds = append(m.seeds, seed)
		} else {
			differ = append(differ, seed)
		}
	}
	m.agree = len(m.seeds)
	m.seeds = append(m.seeds, differ...)
	for _, w := range words {
		m.words = append(m.words, []byte(w))
	}
	return m
}

// next makes a message: one to eight changes to a seed, of which most stand where
// they matter. Few seeds are among those that the versions differ about as they are.
func (m *mutator) next() message {
	seed := m.seeds[m.IntN(m.agree)]
	if m.IntN(50) == 0 {
		seed = m.seeds[m.IntN(len(m.seeds))]
	}
	header, body := bytes.Clone(seed.header), bytes.Clone(seed.body)
	for range 1 + m.IntN(8) {
		if m.what == "bodies" && len(body) > 0 && m.IntN(8) > 0 {
			body = m.change(body, m.seeds[m.IntN(len(m.seeds))].body)
		} else {
			header = m.change(header, m.seeds[m.IntN(len(m.seeds))].header)
		}
	}
	if m.what == "values" {
		return message{header: oneLine(header)}
	}
	if len(body) > 0 && m.IntN(500) == 0 {
		body = append(bytes.Repeat([]byte("preamble\r\n"), 7<<10), body...)
	}
	text := append(header, body...)
	for i, c := range text { // bare line ends are refused by both
		if c == '\n' && (i == 0 || text[i-1] != '\r') || c == '\r' && (i+1 == len(text) || text[i+1] != '\n') {
			text[i] = ' '
		}
	}
	return parse(text)
}

// oneLine makes a field of text: all its line ends are folds.
func oneLine(text []byte) []byte {
	out := append(make([]byte, 0, len(text)+len(fieldTo)), fieldTo...)
	text = bytes.TrimPrefix(text, []byte(fieldTo))
	for i, c := range text {
		switch {
		case c == '\r' && bytes.HasPrefix(text[i:], []byte("\r\n ")), c == '\n' && i > 0 && text[i-1] == '\r' && i+1 < len(text) && text[i+1] == ' ':
		case c == '\r' || c == '\n':
			c = ' '
		}
		out = append(out, c)
	}
	return out
}

// change changes text in one place, now and then with a piece of another one.
func (m *mutator) change(text, other []byte) []byte {
	at := m.place(text)
	switch m.IntN(10) {
	case 0: // a byte
		if at < len(text) {
			text[at] = byte(m.IntN(256))
		}
		return text
	case 1: // less
		return append(text[:at:at], text[min(len(text), at+1+m.IntN(8)):]...)
	case 2: // twice
		end := min(len(text), at+1+m.IntN(40))
		return bytes.Join([][]byte{text[:end], text[at:end], text[end:]}, nil)
	case 3: // a piece of the other
		from := m.IntN(len(other) + 1)
		return m.insert(text, at, other[from:min(len(other), from+1+m.IntN(80))])
	case 4: // a line of the other
		from := m.IntN(len(other) + 1)
		from += bytes.IndexByte(other[from:], '\n') + 1
		end := from + bytes.IndexByte(other[from:], '\n') + 1
		at += bytes.IndexByte(text[at:], '\n') + 1
		return m.insert(text, at, other[from:max(from, end)])
	case 5, 6: // a word in place of a byte
		if at < len(text) {
			text = append(text[:at:at], text[at+1:]...)
		}
	}
	return m.insert(text, at, m.words[m.IntN(len(m.words))])
}

func (m *mutator) insert(text []byte, at int, word []byte) []byte {
	if len(text)+len(word) > 2*maxSeed {
		return text
	}
	return bytes.Join([][]byte{text[:at], word, text[at:]}, nil)
}

// place is a place in text: every second one near an @.
func (m *mutator) place(text []byte) int {
	at := m.IntN(len(text) + 1)
	if m.IntN(2) > 0 {
		return at
	}
	if n := bytes.IndexByte(text[at:], '@'); n >= 0 {
		return min(len(text), max(0, at+n-2+m.IntN(5)))
	}
	return at
}

var headerWords = []string{
	"@", "<", ">", "(", ")", "\"", "\\", ",", ";", ":", ".", " ", "\t", "\r\n ", ". ", ".\r\n ", " .", "[", "]", "'", "@@", "(c)", "\"\"", "\\\"",
	"a@x.example", "<b@y.example>", "\"a\"@x.example", "\"a b\"@x.example", "<a b@x.example>", "ann@x.example.\r\n bob", "bob@corp.example", "corp.example.\r\n au",
	"Ann @ Acme <", "team:", "@d.example:", "a@intranet", "a@[192.0.2.1]", "a. b@x.example", "a@x. example",
	"=?utf-8?q?", "=?utf-8?b?", "?=", "=?utf-8?q?a=40x.example?=", "=?utf-8?q?It._b=40x.example?=", "=?cp932?B?jlKTY4FAkb6YWQ==?=", "=?ms950?Q?=A4@x?=", "=?iso-2022-jp?B?GyRCQEBAQBsoQg==?=",
	"=40", "_", "=2E_", "\x1b$@", "\x1b$B", "\x1b(B", "\x0e", "\xe9", "\xd5\xc5", "\x81@", "＠", "﹫", "。", "．", "（", "）", "＜", "＞", "，", "「", "」", "“", "”", "’", "\u200b", "\u202a", "\u00a0", "\u3000", "\ufeff", "ü", "\u200d",
	"X-Odoo-Bcc: h@x.example\r\n", "X-Notes-Item: h@x.example; name=AltBlindCopyTo\r\n", "X-Notes-Item: h@x.example; type=501; name=SendTo\r\n", "Reply-To: \"j@y.example\" <i@x.example>\r\n", "Bcc: h@x.example\r\n", "Cc: c@x.example\r\n", "To: \r\n",
	"Content-Type: message/news\r\n", "Content-Type: text/calendar\r\n", "Content-Type: application/ics\r\n", "Content-Type: multipart/mixed; boundary=b\r\n", "Content-Transfer-Encoding: base64\r\n", "DKIM-Signature: v=1; h=to:from:reply-to\r\n",
}

var bodyWords = []string{
	"@", "<", ">", "(", ")", "\"", ",", ";", ":", ".", " ", "\r\n", "\r\n\r\n", "> ", "'", "/", "=", "&", "&#64;", "&nbsp;", "|", "[", "]", "*", "-",
	"a@x.example", "b@y.example", "<c@x.example>", "mailto:d@x.example", "mailto://d@x.example", "\"a b\"@x.example", "\"a\"@x.example", "a@intranet", "a@host.lan", "a@b.new-tld", "<a@b.nosuchtld>", "a@[192.0.2.1]", "<a@[192.0.2.1]>", "a@corp.example",
	"icon@2x.png", "ceph-osd@12.service", "node@20.x", "@ann@mastodon.example", "www.medium.example/@first.last/story", "https://u@x.example/", "git@host.example:path", "user1@site1.example:hunter1", "cid:1@x.example",
	"References: <1@x.example> <2@x.example>\r\n", "Message-ID: <3@x.example>\r\n", " <4@x.example>\r\n", "In-Reply-To:", "References:\r\n",
	"-----Original Message-----\r\n", "On Monday, 23 Nov 2026, Ann wrote:\r\n", "Am 23.11.2026 schrieb Ann <a@x.example>:\r\n", "From: Ann <a@x.example>\r\nSent: Monday\r\nTo: b@x.example\r\nSubject: x\r\n", "> a@q.example\r\n",
	"<blockquote>", "</blockquote>", "<blockquote type=\"cite\">", "<div class=\"gmail_quote\">", "<div class=\"moz-cite-prefix\">", "<div id=\"divRplyFwdMsg\">", "</div>", "<div>", "<br>", "<p>", "<html>", "<table>",
	"<!--", "-->", "<!-- a@h.example -->", "<!-->", "<script>", "</script>", "<style>", "</style>", "<![endif]-->", "<!--[if mso]>", "<!DOCTYPE html>", "<?xml ?>", "<!",
	"<b>", "</b>", "<bdi>", "</bdi>", "<ins>", "<kbd>", "<span>", "</span>", "<a href=\"mailto:e@x.example\">", "<a href='mailto:f@x.example?cc=g@x.example'>", "</a>", "<wbr>", "<img alt=\"h@x.example\">", "<e@x.example>",
	"--b\r\n", "--b--\r\n", "Content-Type: text/plain\r\n\r\n", "Content-Type: text/html\r\n\r\n", "Content-Type: application/json\r\n\r\n", "Content-Type: message/rfc822\r\n\r\n", "Content-Type: message/news\r\n\r\n", "Content-Disposition: attachment; filename=a.json\r\n", "Content-Disposition: attachment; filename=a.vcf\r\n", "Content-Type: text/calendar\r\n\r\n", "Content-Type: image/png\r\n\r\n", "Content-Type: text/plain; charset=utf-7\r\n\r\n", "Content-Type: text/plain; charset=cp932\r\n\r\n",
	"Content-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\nUEsDBBQAAAAAAAAAIQDBj4q2GQAAABkAAAAFAAAAYS50eHR6QHguZXhhbXBsZSB3QHguZXhhbXBsZQ0KUEsBAhQDFAAAAAAAAAAhAMGPirYZAAAAGQAAAAUAAAAAAAAAAAAAAIABAAAAAGEudHh0UEsFBgAAAAABAAEAMwAAADwAAAAAAA==\r\n",
	"Content-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n\r\nH4sIAAAAAAACA6tyqNBLrUjMLchJVShHsHm5AMGPirYZAAAA\r\n",
	"BEGIN:VCARD\r\nVERSION:2.1\r\nEMAIL;ENCODING=QUOTED-PRINTABLE:v=40x.example\r\nEND:VCARD\r\n", "=40", "BEGIN:VCALENDAR\r\n", "\r\n ", "mail=l@x.example,dc=x", "To: m@x.example, n@x.example\r\n", "+AEA-", "%PDF-1.4", "\x00", "\x7f", "\x1f", "\xe9", "ü", "＠", "。", "\u200b", "“", "\u00a0",
}
