package body

import (
	"bytes"
	"regexp"
)

// A replyFilter tells the new text of a message from the message that it
// quotes below: lines that begin with >, and all that follows one of
//
//   - "-----Original Message-----";
//   - lines that begin with From:, Sent:, To: and Subject:, in this order, as
//     Outlook writes them, with no empty line between;
//   - "On Monday, 23 November 2026, Ann wrote:", on one line or two. Where the
//     quoted message then has > before its lines, or is a blockquote, only that
//     is quoted: the new text may stand below.
//
// It knows the first two in the languages of blockNames, and the third in those
// of attributionWords. In other words, the quoted message counts.
type replyFilter struct {
	found   *hashSet
	below   bool // all that follows is quoted
	wrote   bool // the last line says who wrote what follows
	quoting bool // the line at hand is quoted

	// pending are addresses of lines that may turn out to introduce a quoted
	// message: so many lines of an attribution, or so many fields of a block,
	// in these languages. Where another one begins, they were none.
	pending     []uint64
	attribution int
	verb, who   bool // it has a word for "wrote" in it, or an address
	fields      int
	languages   languageSet
	between     int // lines since the last field
}

const (
	lineOwn     = iota
	linePending // it depends on what follows
	lineQuoted
)

// The bounds of what is held. A block that lists more than this counts.
const (
	maxPending     = 4096
	maxAttribution = 3
	maxBetween     = 4 // lines between two fields of a block in HTML
)

// attributionWords begin an attribution that has a date in it. In English,
// "wrote:" ends it; in the other languages, what attributionEnd says, where it has
// attributionVerb and an address, too: people write such a line themselves. Letters
// outside of US-ASCII may be in a charset that is not known.
var (
	attributionWords = map[string]bool{"On": true, "Am": true, "Le": true, "El": true, "Il": true, "Em": true, "Op": true, "Den": true}
	attributionVerb  = regexp.MustCompile(`\b(?:schrieb|geschrieben|a .crit|escribi.|ha scritto|escreveu|schreef|geschreven|skrev)`)
	attributionEnd   = regexp.MustCompile(`(?:>|geschrieben|a .crit|escribi.|ha scritto|escreveu|geschreven)[ \x{a0}\x{202f}\x{fffd}]*:$`)
)

// line says what a line is, or a piece of one that began before.
func (f *replyFilter) line(line []byte, begins, isHTML bool) int {
	text := bytes.TrimSpace(line)
	if f.below || !begins && f.quoting {
		return lineQuoted
	}
	if !begins {
		return f.state()
	}
	f.quoting = !isHTML && bytes.HasPrefix(text, []byte(">"))
	switch {
	case len(text) == 0:
		if isHTML { // only the source has it
			return f.state()
		}
		return lineOwn // what it may have been ends here, and was none
	case f.quoting:
		f.wrote = false
		return lineQuoted
	case f.wrote, isDivider(text):
		f.commit()
		f.quoteRest()
		return lineQuoted
	case f.isAttribution(text):
		return lineQuoted
	}
	f.isBlock(text, isHTML)
	if f.below {
		return lineQuoted
	}
	return f.state()
}

// state says what a line is that is nothing special.
func (f *replyFilter) state() int {
	if f.attribution > 0 || f.fields > 0 {
		return linePending
	}
	return lineOwn
}

// isAttribution reports a line that completes an attribution.
func (f *replyFilter) isAttribution(text []byte) bool {
	blank := bytes.IndexByte(text[:min(len(text), 4)], ' ')
	switch {
	case blank > 0 && attributionWords[string(text[:blank])] && bytes.ContainsAny(text, "0123456789"):
		f.commit()
		f.attribution = 1
	case f.attribution == maxAttribution:
		f.attribution = 0
	case f.attribution > 0:
		f.attribution++
	}
	if f.attribution == 0 {
		return false
	}
	f.verb = f.verb || attributionVerb.Match(text)
	f.who = f.who || bytes.IndexByte(text, '@') >= 0
	if bytes.HasSuffix(text, []byte("wrote:")) || f.verb && f.who && attributionEnd.Match(text) {
		f.release()
		f.wrote = true
		return true
	}
	return false
}

// isBlock notes a field of a header block.
func (f *replyFilter) isBlock(text []byte, isHTML bool) {
	if f.between++; isHTML && f.between > maxBetween { // in text, an empty line ends it
		f.fields = 0
	}
	text = bytes.TrimLeft(text, "*") // bold letters in text that was made of HTML
	colon := bytes.IndexByte(text[:min(len(text), maxBlockName)], ':')
	if colon < 0 {
		return
	}
	sets := blockFields[folded(string(withoutSpace(text[:colon])))]
	if next := sets[f.fields] & f.languages; f.fields > 0 && next != 0 {
		f.fields, f.languages, f.between = f.fields+1, next, 0
	} else if sets[0] != 0 {
		f.commit()
		f.fields, f.languages, f.between = 1, sets[0], 0
	}
	if f.fields == len(sets) {
		f.quoteRest()
	}
}

// withoutSpace takes what may stand before a colon off: bold letters end there,
// and French has a no-break space, in UTF-8 or ISO 8859-1.
func withoutSpace(name []byte) []byte {
	name = bytes.TrimRight(name, " *")
	name = bytes.TrimSuffix(bytes.TrimSuffix(name, []byte{0xa0}), []byte{0xc2})
	return bytes.TrimRight(name, " *")
}

func (f *replyFilter) quoteRest() {
	f.release()
	f.below = true
}

func (f *replyFilter) hold(hash uint64) { f.pending = append(f.pending, hash) }

// commit counts what was held: it does not belong to a quoted message.
func (f *replyFilter) commit() {
	for _, hash := range f.pending {
		f.found.add(hash)
	}
	f.release()
}

// release forgets what was held.
func (f *replyFilter) release() {
	f.pending, f.attribution, f.verb, f.who, f.fields, f.languages = f.pending[:0], 0, false, false, 0, 0
}
