package body

import (
	"strings"
	"testing"
)

// TestWhatReadsAPartHoldsLittle: less than the walk tells for it, whatever comes.
func TestWhatReadsAPartHoldsLittle(t *testing.T) {
	const most = 64 << 10
	for name, text := range map[string]string{
		"a word":       strings.Repeat("x", 1<<20),
		"zero bytes":   strings.Repeat("a\x00", 1<<17),
		"addresses":    strings.Repeat("p@x.org, ", 1<<16),
		"seams":        strings.Repeat("<b>@a</b>.de", 1<<16),
		"a comment":    "<!--" + strings.Repeat("a@x.de ", 1<<16),
		"a tag":        "<" + strings.Repeat("a", 1<<20),
		"an attribute": "<a href=\"" + strings.Repeat("a", 1<<20),
		"references":   strings.Repeat("&amp;", 1<<17),
	} {
		for _, isHTML := range []bool{false, true} {
			s := &textScanner{scan: newCounter()}
			h := newHTMLScanner(s.scan, false)
			for line := range strings.Lines(text) {
				for len(line) > 0 { // in the pieces that a walk passes on
					piece := line[:min(len(line), 16<<10)]
					if line = line[len(piece):]; isHTML {
						h.Write([]byte(piece))
					} else {
						s.Write([]byte(piece))
					}
					if held := cap(s.line) + cap(h.text.line) + cap(h.hidden.line) + 8*cap(h.text.hashes) + cap(h.tag); held > most {
						t.Fatalf("%s, HTML %v: %d bytes are held", name, isHTML, held)
					}
				}
			}
		}
	}
}

// TestALinkIsReadWhereTheSameWordsWereReadAsText: as text its percent signs say nothing.
func TestALinkIsReadWhereTheSameWordsWereReadAsText(t *testing.T) {
	const link = `<a href="mailto:a%40x.example?subject=x&amp;y">`
	c := newCounter()
	hidden := "<!--" + strings.Repeat("x", maxTextLine-1) + " " + link // the line goes on with the link alone
	for _, source := range []string{hidden, link} {
		h := newHTMLScanner(c, false)
		h.Write([]byte(source))
		h.Close()
	}
	if n := c.Count(); n != 1 {
		t.Errorf("%d addresses, want 1", n)
	}
}
