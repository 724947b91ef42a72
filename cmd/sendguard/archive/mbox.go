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

// standard matches the line before each message of an mbox (RFC 4155) as most
// programs write it.
var standard = regexp.MustCompile(`^From .*\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b.*(?:\d:\d\d.*\b\d{4}\b|\b\d{4}\b.*\d:\d\d)`)

// commit matches where `git format-patch` has a commit. Its line looks like any
// other's in an mbox, and stands in the text of many who send patches.
var commit = regexp.MustCompile(`^[0-9a-f]{40}$`)

// A separator is what the line before a message looks like, whoever sent it and
// whenever. Programs differ in how they write it, and each writes all of a file
// alike: the first one, which can be nothing else, says what the others are.
type separator struct {
	sender string // its kind
	date   string // its shape, from the first number on; empty: there is none
}

// Kinds of senders. Thunderbird's is "-" or, since version 100 or so, left out;
// files that are older than that have both.
const (
	thunderbird = "-"
	patch       = "commit"
	anybody     = "@"
)

func parseSeparator(line []byte) separator {
	sender, date, _ := bytes.Cut(bytes.TrimSpace(line[len(mboxFrom):]), []byte(" "))
	kind := anybody
	switch {
	case len(sender) == 0, string(sender) == "-":
		kind = thunderbird
	case commit.Match(sender):
		kind = patch
	}
	return separator{kind, dateShape(date)}
}

// dateShape is "0 0:0:0 0" of "Mon Jun  3 10:00:00 2024" and of the same in any
// language: the words before the first number differ too much, and text has no
// three numbers in the same places. Of letters, dots are part ("févr.").
func dateShape(text []byte) string {
	first := bytes.IndexAny(text, "0123456789")
	if first < 0 {
		return ""
	}
	var shape []byte
	numbers := 0
	for _, b := range text[first:] {
		class := b
		switch {
		case '0' <= b && b <= '9':
			class = '0'
		case b == '.':
			continue
		case b == '+': // a time zone
			class = '-'
		case 'a' <= b|0x20 && b|0x20 <= 'z', b >= 0x80:
			class = 'a'
		}
		if n := len(shape); n > 0 && shape[n-1] == class {
			continue
		}
		if shape = append(shape, class); class == '0' {
			numbers++
		}
	}
	if numbers < 3 {
		return ""
	}
	return string(shape)
}

// isBare reports a separator of Thunderbird that has nothing but "From ".
func isBare(line []byte) bool {
	return len(bytes.TrimSuffix(line, []byte("\r"))) == len(mboxFrom)
}

// like reports the same kind of line.
func (s separator) like(first separator) bool {
	return s.sender == first.sender && (s.date == first.date || s.sender == thunderbird)
}

// atSeparator reports the line before the next message. With an empty line
// before it, it has a date; text that nobody quoted ("From the desk of") has
// none. Without an empty line, or without a date, it must look like the first of
// the file and have a header behind it.
func (r *Reader) atSeparator() bool {
	if begin, _ := r.in.Peek(len(mboxFrom)); !bytes.Equal(begin, mboxFrom) {
		return false
	}
	text, _ := r.in.Peek(maxSeparator)
	if !isMbox(text) {
		return false
	}
	line, _, ended := bytes.Cut(text, []byte("\n"))
	s := parseSeparator(line)
	like := s.like(r.first)
	if r.blank && (isBare(line) || s.date != "" && (like || s.sender != patch && standard.Match(line))) {
		return true
	}
	return like && ended && r.headerBehind(len(line)+len("\n"), s.date != "")
}

// maxAhead is how much of a header is looked at to know it.
const maxAhead = 8 << 10

// headerBehind reports a header behind a separator, if a broken one; without a
// date before it, more of its lines are fields of mail than are none. Text goes
// on with more text.
func (r *Reader) headerBehind(separator int, dated bool) bool {
	text, _ := r.in.Peek(separator + maxAhead)
	o := lookAt(text[separator:])
	return o.mail > o.other || dated && o.isMail()
}
