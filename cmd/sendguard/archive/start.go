package archive

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
)

// ErrNoMail says that a file is something else: an index, settings, a picture.
var ErrNoMail = errors.New("this is no mail")

// bufferSize is how much of a file is held, and so how far is looked ahead.
const bufferSize = 64 << 10

// Editors put it before a text; in mail it would be part of a field's name.
var byteOrderMark = []byte("\xef\xbb\xbf")

// NewReader looks at the start of a file for what kind it is. The error is
// ErrNoMail where it holds no messages, and is of no kind that is read here; an
// empty file is an empty mailbox.
func NewReader(file io.Reader, o Options) (*Reader, error) {
	r := &Reader{options: o}
	start, err := r.open(file)
	if err != nil || len(start) == 0 {
		return r, err
	}
	if bytes.HasPrefix(start, byteOrderMark) {
		start = r.discard(start, len(byteOrderMark))
	}
	if before, length := emlx(start); before > 0 {
		r.discard(start, before)
		start, err = r.open(io.LimitReader(r.in, length))
	}
	if o.MendCR || hasOnlyCR(start) {
		start, err = r.open(&crMender{r: r.in})
	}
	if err == nil && !r.begin(start) {
		err = ErrNoMail
	}
	return r, err
}

// open goes on with what is read from in, and returns its start.
func (r *Reader) open(in io.Reader) (start []byte, err error) {
	r.in = bufio.NewReaderSize(in, bufferSize)
	start, err = r.in.Peek(bufferSize)
	return start, ignoreEOF(err)
}

// discard passes over the first n bytes of what is buffered.
func (r *Reader) discard(start []byte, n int) []byte {
	r.in.Discard(n)
	return start[n:]
}

// begin reports whether a message comes, and goes to where it does.
func (r *Reader) begin(start []byte) bool {
	r.more = true
	blank := blankLines(start)
	if !isMbox(start[blank:]) {
		return lookAt(start[blank:]).isMail() // to the guard the empty lines are part of it
	}
	start = r.discard(start, blank)
	line, behind, _ := bytes.Cut(start, []byte("\n"))
	line = line[:min(len(line), maxSeparator)]
	r.Mbox, r.first = true, parseSeparator(line)
	return r.first.sender == thunderbird || standard.Match(line) || lookAt(behind).isMail()
}

var emlxLength = regexp.MustCompile(`^([0-9]{1,18})[ \t]*\r?\n`)

// emlx returns the length of a message of Apple Mail, and of what stands before
// it: the line that tells the first one. Behind the message comes a property
// list, which may repeat its subject and addresses.
func emlx(start []byte) (before int, length int64) {
	line := emlxLength.FindSubmatch(start)
	if line == nil {
		return 0, 0
	}
	length, _ = strconv.ParseInt(string(line[1]), 10, 64) // 18 digits are one
	return len(line[0]), length
}

// hasOnlyCR reports a file whose lines end in CR alone, as programs of the Mac
// wrote them.
func hasOnlyCR(start []byte) bool {
	return bytes.IndexByte(start, '\r') >= 0 && bytes.IndexByte(start, '\n') < 0
}
