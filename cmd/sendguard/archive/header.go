package archive

import "bytes"

// mailFields tell a message from other text in lines "name: value": calendars,
// cards, settings. One that ends in a hyphen begins a name.
var mailFields = bytes.Fields([]byte(`
	From To Cc Bcc Date Subject Sender Reply-To Received Return-Path Delivered-To Message-ID In-Reply-To References
	MIME-Version Content-Type DKIM-Signature Authentication-Results X- Resent- List- ARC-`))

func isMailField(name []byte) bool {
	for _, f := range mailFields {
		begin := name
		if f[len(f)-1] == '-' {
			begin = name[:min(len(name), len(f))]
		}
		if bytes.EqualFold(begin, f) {
			return true
		}
	}
	return false
}

// fieldName returns the name of a field (RFC 5322 sections 2.2 and 4.5); empty:
// a line is none.
func fieldName(line []byte) []byte {
	name, _, ok := bytes.Cut(line, []byte(":"))
	name = bytes.TrimRight(name, " \t")
	if !ok || bytes.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil
	}
	return name
}

// An outlook is what the lines at the start of a text look like, up to the first
// empty one, the next message or the end of the text.
type outlook struct {
	begins bool // with a field
	mail   int  // fields that only mail has
	other  int  // lines that are no field
}

// isMail reports what is a header, if a broken one: that the guard refuses it is
// for the user to know. A single field behind other lines is none ("date:" in
// settings).
func (o outlook) isMail() bool { return o.mail > 1 || o.mail == 1 && o.begins }

func lookAt(text []byte) (o outlook) {
	for begins := true; len(text) > 0; begins = false {
		line, rest, ended := bytes.Cut(text, []byte("\n"))
		name := fieldName(line)
		o.begins = o.begins || begins && len(name) > 0
		switch {
		case len(bytes.TrimSuffix(line, []byte("\r"))) == 0, isMbox(line):
			return o
		case !begins && (line[0] == ' ' || line[0] == '\t'):
		case isMailField(name):
			o.mail++
		case len(name) > 0, bytes.HasPrefix(line, []byte(">From ")): // older programs leave it there
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
