package body

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// shown counts what an attachment of unknown type shows, in pieces of n bytes.
func shown(file []byte, n int) int {
	s := newCounter()
	defer s.Close()
	c := &content{scan: s, part: untyped}
	for piece := range slices.Chunk(file, n) {
		piece = bytes.Clone(piece)
		c.Write(piece)
		clear(piece)
	}
	c.Close()
	return s.Count()
}

// zipped is a zip file of members: name, content, and so on.
func zipped(members ...string) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(members); i += 2 {
		f, _ := w.Create(members[i])
		f.Write([]byte(members[i+1]))
	}
	w.Close()
	return b.Bytes()
}

func gzipped(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(text))
	w.Close()
	return b.Bytes()
}

// wide is text in UTF-16LE.
func wide(text string) (all []byte) {
	for _, u := range utf16.Encode([]rune(text)) {
		all = append(all, byte(u), byte(u>>8))
	}
	return all
}

const (
	oleStart = "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\x00\x00\x00\x00\x00\x00\x00\x00"
	xmlStart = `<?xml version="1.0" encoding="UTF-8"?><w:document xmlns:w="x">`
)

func TestWhatAnAttachmentShows(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		want int
	}{
		"xml, runs":                            {xmlStart + `<w:p><w:r><w:t>ann@</w:t></w:r><w:proofErr w:type="x"/><w:r><w:rPr><w:b/></w:rPr><w:t>x.example</w:t></w:r></w:p>`, 1},
		"xml, paragraphs":                      {xmlStart + `<w:p><w:r><w:t>ann@x.example</w:t></w:r></w:p><w:p><w:r><w:t>bob@x.example</w:t></w:r></w:p>`, 2},
		"xml, a tab":                           {xmlStart + `<w:p><w:r><w:t>ann@x.example</w:t><w:tab/><w:t>bob@x.example</w:t></w:r></w:p>`, 2},
		"xml, shared strings":                  {`<?xml version="1.0"?><sst xmlns="x"><si><r><t>ann@x.</t></r><r><rPr><b/></rPr><t>example</t></r></si><si><t>bob@x.example</t></si></sst>`, 2},
		"xml, cells":                           {`<worksheet xmlns="x"><c t="inlineStr"><is><t>ann@x.example</t></is></c><c t="str"><f>A1</f><v>bob@x.example</v></c></worksheet>`, 2},
		"xml, OpenDocument":                    {`<?xml version="1.0"?><text:p xmlns:text="x">ann@x<text:span>.example</text:span><text:line-break/>bob@x.example<text:s/>cid@x.example</text:p>`, 3},
		"xml, any names":                       {`<?xml version="1.0"?><people><mail>ann@x.example</mail><mail>bob@x.example</mail></people>`, 2},
		"xml, attributes":                      {`<?xml version="1.0"?><people><one mail="ann@x.example"/><Relationship Target="mailto:bob%40x.example?subject=x"/></people>`, 2},
		"xml, references":                      {`<?xml version="1.0"?><people><one>ann&#64;x.example</one><one mail="bob&#x40;x.example"/></people>`, 2},
		"xml, CDATA":                           {`<?xml version="1.0"?><people><![CDATA[<ann@x.example>, bob@x.example]]></people>`, 2},
		"xml in UTF-16":                        {"\xff\xfe" + string(wide(`<?xml version="1.0"?><p>ann@x.example</p>`)), 1},
		"zip":                                  {string(zipped("a.txt", "ann@x.example", "b.txt", "bob@x.example ann@x.example")), 2},
		"zip in gzip":                          {string(gzipped(string(zipped("a.txt", "ann@x.example")))), 1},
		"a name in a zip":                      {string(zipped("ann@x.example", "")), 1},
		"text behind gzip":                     {string(gzipped("ann@x.example")) + "bob@x.example", 2},
		"a text before a zip":                  {"#!/bin/sh\n# bob@x.example\n" + string(zipped("a.txt", "ann@x.example")), 2},
		"ole, one byte":                        {oleStart + "\x0d\x00\x00ann@x.example\x0d\x00\x00bob@x.example\x00\x00", 2},
		"ole, two bytes":                       {oleStart + "\x0d\x00\x01" + string(wide("ann@x.example")) + "\x0d\x00\x01" + string(wide("bob@x.example")) + "\x00\x00", 2},
		"xlsb":                                 {string(zipped("xl/sharedStrings.bin", "\x9f\x01\x08\x02\x00\x00\x00\x02\x00\x00\x00\x13\x0f\x00\x0d\x00\x00\x00"+string(wide("ann@x.example")))), 1},
		"ole, a long string follows":           {oleStart + "\x0d\x00\x00ann@x.example\x41\x00\x00bob@x.example\x00\x00", 2},
		"ole, a long string of two bytes does": {oleStart + "\x0d\x00\x01" + string(wide("ann@x.example")) + "\x41\x00\x01" + string(wide("bob@x.example")) + "\x00\x00", 2},
	} {
		for _, n := range []int{1, 3, 1 << 20} {
			if got := shown([]byte(c.file), n); got != c.want {
				t.Errorf("%s: %d in pieces of %d, want %d", name, got, n, c.want)
			}
		}
	}
}

// TestALineThatComesAgainMayMeanSomethingElse: behind a field that names messages.
func TestALineThatComesAgainMayMeanSomethingElse(t *testing.T) {
	const text = "Message-ID: <1@a.example>\n <2@x.example> ann@x.example\n\n <2@x.example> ann@x.example\nMessage-ID: <1@a.example>\n <3@x.example>\n"
	for _, again := range []int{1, 2} {
		if n := shown([]byte(strings.Repeat(text, again)), 7); n != 2 {
			t.Errorf("%d times: %d", again, n)
		}
	}
}

func TestAPictureInAnOldFileOfOfficeShowsNobody(t *testing.T) {
	picture := make([]byte, 4<<20)
	rand.NewChaCha8([32]byte{}).Read(picture)
	if n := shown(append([]byte(oleStart), picture...), 4096); n > 1 {
		t.Errorf("%d", n)
	}
}

func TestAnEncryptedFileOfOfficeIsTold(t *testing.T) {
	s := newCounter()
	c := &content{scan: s, part: untyped}
	c.Write([]byte(oleStart + "\x01\x02" + string(wide(encryptedStream)) + "\x00\x00\x03"))
	c.Close()
	if n := s.Containers().Encrypted; n != 1 {
		t.Errorf("%d", n)
	}
}

// FuzzContent: no attachment breaks it, and the same bytes show the same however they
// are cut.
func FuzzContent(f *testing.F) {
	f.Add(zipped("a.txt", "ann@x.example", "b.xml", xmlStart+"<p>bob@</p>"), uint16(1))
	f.Add(gzipped(string(zipped("a.txt", "ann@x.example"))), uint16(10))
	f.Add([]byte(xmlStart+`<w:p><w:t>ann@</w:t><w:t a="b@x.example">x.example</w:t></w:p>`), uint16(2))
	f.Add([]byte(oleStart+"\x0d\x00\x01"+string(wide("ann@x.example"))+"\x41\x00\x00bob@x.example\x00\x00"), uint16(3))
	f.Fuzz(func(t *testing.T, file []byte, cut uint16) {
		if len(file) == 0 {
			return
		}
		n := int(cut)%3000 + 1
		if whole, cutUp := shown(file, len(file)), shown(file, n); whole != cutUp {
			t.Fatalf("%q: %d in pieces of %d, %d as a whole", file, cutUp, n, whole)
		}
	})
}
