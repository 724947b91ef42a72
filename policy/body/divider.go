package body

import (
	"bytes"
	"strings"
)

// What Outlook and its like put between the new text and the message that is
// answered comes in the writer's language.

// dividers stand between hyphens in a line of their own, as folded has them.
var dividers = map[string]bool{
	"originalmessage":        true,
	"urspr?nglichenachricht": true, "original-nachricht": true, // German
	"messaged'origine": true, "messaged?origine": true, "messageoriginal": true, // French
	"mensajeoriginal":        true, // Spanish
	"messaggiooriginale":     true, // Italian
	"oorspronkelijkbericht":  true, // Dutch
	"mensagemoriginal":       true, // Portuguese
	"oryginalnawiadomo?":     true, // Polish
	"ursprungligtmeddelande": true, // Swedish
	"oprindeligmeddelelse":   true, // Danish
	"opprinneligmelding":     true, // Norwegian
	"alkuper?inenviesti":     true, // Finnish
	"p?vodn?zpr?va":          true, // Czech
}

// isDivider reports a line such as "-----Original Message-----".
func isDivider(line []byte) bool {
	const hyphens = "--"
	if len(line) > maxDivider || !bytes.HasPrefix(line, []byte(hyphens)) || !bytes.HasSuffix(line, []byte(hyphens)) {
		return false
	}
	return dividers[folded(strings.Trim(string(line), "- "))]
}

const maxDivider = 80

// blockNames are the fields that begin a quoted message, in the order in which
// Outlook writes them: who, when (Windows and Mac differ), to whom, and what
// about. Others may be between them.
var blockNames = [][4]string{
	{"from", "sent date", "to", "subject"},
	{"von", "gesendet datum", "an", "betreff"},
	{"de", "envoy? date", "?", "objet"},
	{"de", "enviado enviadoel fecha", "para", "asunto"},
	{"da", "inviato data", "a", "oggetto"},
	{"van", "verzonden datum", "aan", "onderwerp"},
	{"de", "enviado enviada enviadaem data", "para", "assunto"},
	{"od", "wys?ano data", "do", "temat"},
	{"fr?n", "skickat datum", "till", "?mne"},
	{"fra", "sendt dato", "til", "emne"}, // Danish and Norwegian
	{"l?hett?j?", "l?hetetty p?iv?m?r?", "vastaanottaja", "aihe"},
	{"od", "odesl?no datum", "komu", "p?edm?t"},
}

// A languageSet has a bit for each of blockNames.
type languageSet uint16

// blockFields are the languages in which a name is that of the first to the
// fourth field.
var blockFields = func() map[string][4]languageSet {
	all := map[string][4]languageSet{}
	for language, names := range blockNames {
		for i, list := range names {
			for name := range strings.FieldsSeq(list) {
				sets := all[name]
				sets[i] |= 1 << language
				all[name] = sets
			}
		}
	}
	return all
}()

// maxBlockName bounds the name of such a field, with its colon.
const maxBlockName = 24

// folded makes a name comparable: lower case, without blanks, and with a
// question mark for letters that are not US-ASCII, whatever charset has them.
func folded(name string) string {
	var b strings.Builder
	foreign := false
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 0x80:
			if !foreign {
				b.WriteByte('?')
			}
		case 'A' <= c && c <= 'Z':
			b.WriteByte(c | 0x20)
		case c != ' ':
			b.WriteByte(c)
		}
		foreign = c >= 0x80
	}
	return b.String()
}
