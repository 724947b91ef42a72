package archive

import (
	"bytes"
	"regexp"
)

var mboxFrom = []byte("From ")

// isMbox reports what begins like an mbox, and not with a field "From :".
func isMbox(begin []byte) bool {
	after, ok := bytes.CutPrefix(begin, mboxFrom)
	return ok && !bytes.HasPrefix(bytes.TrimLeft(after, " \t"), []byte(":"))
}

// maxSeparator is how far a date is looked for in the line before a message.
const maxSeparator = 512

// separator matches the line before each message of an mbox (RFC 4155): it has
// a date, whose form differs among programs. Thunderbird's has nothing but
// "From ". Without a date it is text that nobody quoted: "From the desk of".
var separator = regexp.MustCompile(`^From (?:\r?\n|\r?$|[^\n]*\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b[^\n]*(?:\d:\d\d[^\n]*\b\d{4}\b|\b\d{4}\b[^\n]*\d:\d\d))`)

func (r *Reader) atSeparator() bool {
	if begin, _ := r.in.Peek(len(mboxFrom)); !bytes.Equal(begin, mboxFrom) {
		return false
	}
	line, _ := r.in.Peek(maxSeparator)
	return separator.Match(line)
}
