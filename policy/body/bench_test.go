package body

import (
	"bytes"
	"strings"
	"testing"
)

// BenchmarkContent reads a megabyte of what costs much, unpacked.
func BenchmarkContent(b *testing.B) {
	xml := `<?xml version="1.0"?><sst xmlns="x">`
	for name, c := range map[string]struct{ start, unit string }{
		"sheet":      {xml, `<row r="12" spans="1:4"><c r="A12" s="1" t="s"><v>1234</v></c><c r="B12" s="1"><v>20.5</v></c></row>`},
		"strings":    {xml, `<si><t>Ann Example</t></si><si><t>ann.example@x.example</t></si>`},
		"tags":       {xml, "<a>"},
		"seams":      {xml, "<b>@a</b>.de"},
		"attributes": {xml, `<a b="&@">`},
		"references": {xml, "&amp;"},
		"text":       {"", "The quick brown fox jumps over the lazy dog.\n"},
		"ats":        {"", "@"},
		"addresses":  {"", "a@b.de "},
		"foreign":    {"", "ü@ü.de "},
		"two TLDs":   {"", "a@b.de,a@b.fr "},
		"zeros":      {"", "a\x00"},
		"html":       {"<html>", "<b>@a</b>.de"},
		"ole":        {oleStart, "a@b.de\x00b\x00"},
		"noise":      {"%PDF-", "a\x80PK\x03"},
	} {
		b.Run(name, func(b *testing.B) {
			data := []byte(c.start + strings.Repeat(c.unit, 1<<20/len(c.unit)))
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				s := newCounter()
				s.bounds.Sent(1 << 30)
				r := &content{scan: s, part: untyped}
				for p := data; len(p) > 0; p = p[min(len(p), 4<<10):] {
					r.Write(p[:min(len(p), 4<<10)])
				}
				r.Close()
				s.Close()
			}
		})
	}
	for name, file := range map[string][]byte{"unsized": nil, "gaps": bytes.Repeat([]byte("PK\x03\x04PK\x01\x02"), 1<<17)} {
		b.Run(name, func(b *testing.B) {
			data := append([]byte("PK\x03\x04\x14\x00\x08\x00\x00\x00"+strings.Repeat("\x00", 20)), file...)
			if file == nil {
				data = append(data, bytes.Repeat([]byte("ab\x80"), 1<<20/3)...)
			}
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				shown(data, len(data))
			}
		})
	}
}
