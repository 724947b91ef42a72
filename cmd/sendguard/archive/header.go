package archive

import (
	"bytes"
	"regexp"
)

var (
	field = regexp.MustCompile(`^[!-9;-~]+[ \t]*:`) // RFC 5322 sections 2.2 and 4.5

	// mailField matches a field that tells a message from other text in lines
	// "name: value": calendars, cards, settings.
	mailField = regexp.MustCompile(`^(?i:From|To|Cc|Bcc|Date|Subject|Sender|Reply-To|Received|Return-Path|Delivered-To|Message-ID|In-Reply-To|References|` +
		`MIME-Version|Content-Type|DKIM-Signature|Authentication-Results|(?:X|Resent|List|ARC)-[!-9;-~]+)[ \t]*:`)
)

// An outlook is what the lines at the start of a text look like, up to the first
// empty one, the next message or the end of the text.
type outlook struct {
	begins bool // with a field
	mail   int  // fields that only mail has
	other  int  // lines that are no field
}

// isHeader reports what is a header, and can be read as one.
func (o outlook) isHeader() bool { return o.mail > 0 && o.other == 0 }

// isMail reports what is a header, if a broken one: that the guard refuses it is
// for the user to know. A single field behind other lines is none ("date:" in
// settings).
func (o outlook) isMail() bool { return o.mail > 1 || o.mail == 1 && o.begins }

func lookAt(text []byte) (o outlook) {
	o.begins = field.Match(text)
	for begins := true; len(text) > 0; begins = false {
		line, rest, ended := bytes.Cut(text, []byte("\n"))
		switch {
		case len(bytes.TrimSuffix(line, []byte("\r"))) == 0, isMbox(line):
			return o
		case !begins && (line[0] == ' ' || line[0] == '\t'):
		case mailField.Match(line):
			o.mail++
		case field.Match(line), bytes.HasPrefix(line, []byte(">From ")): // older programs leave it there
		case ended: // else it was cut
			o.other++
		}
		text = rest
	}
	return o
}

// blankLines is the length of the empty lines that a text begins with.
func blankLines(text []byte) int {
	return len(text) - len(bytes.TrimLeft(text, "\r\n"))
}
