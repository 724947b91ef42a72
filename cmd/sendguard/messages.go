package main

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A mailReader takes the messages out of an mbox, or the only one out of
// another file. It holds one header and one piece of a body, however large the
// file.
type mailReader struct {
	r      *bufio.Reader
	limits readLimits
	mbox   bool
	more   bool // the separator line of a message comes next
	inside bool // a message has begun and not ended
	inLine bool // the last piece did not end its line
	blank  bool // the last piece was an empty line
	bareCR bool // a CR stands alone in what was read of the message
}

// readLimits are those of the guard.
type readLimits struct {
	headerBytes int
	lineBytes   int // of a header
}

func newMailReader(r io.Reader, limits readLimits) (*mailReader, error) {
	m := &mailReader{r: bufio.NewReaderSize(r, 64<<10), limits: limits}
	start, err := m.r.Peek(maxSeparator)
	if err != nil && err != io.EOF {
		return nil, err
	}
	m.mbox, m.more = isMbox(start), len(start) > 0
	return m, nil
}

// next goes on to the next message and returns its header with the empty line
// that ends it, its lines ended by CRLF as they would be on the wire; or io.EOF.
// After another error there may be further messages.
func (m *mailReader) next() (header []byte, err error) {
	if err := m.skipBody(); err != nil {
		return nil, err
	}
	if !m.more {
		return nil, io.EOF
	}
	if m.mbox {
		if err := m.skipLine(); err != nil {
			m.more = false
			return nil, err
		}
	}
	m.more, m.inside, m.inLine, m.blank, m.bareCR = false, true, false, false, false
	header, err = m.readHeader()
	if err != nil {
		return nil, cmp.Or(m.skipBody(), err)
	}
	return header, nil
}

// readHeader ends where the guard ends a header: behind an empty line, or where
// this is the first line, behind the next one (see policy).
func (m *mailReader) readHeader() (header []byte, err error) {
	line := 0
	for {
		text, err := m.piece()
		if err != nil {
			return header, ignoreEOF(err)
		}
		line += len(text)
		switch {
		case line > m.limits.lineBytes+len("\r\n"):
			return nil, fmt.Errorf("a header line is longer than %d bytes", m.limits.lineBytes)
		case len(header)+len(text) > m.limits.headerBytes:
			return nil, fmt.Errorf("the header is longer than %d bytes", m.limits.headerBytes)
		}
		header = appendCRLF(header, text)
		if m.inLine {
			continue
		}
		line = 0
		if len(header) > len("\r\n") && (m.blank || bytes.HasPrefix(header, []byte("\r\n"))) {
			return header, nil
		}
	}
}

// skipBody reads to the end of the message, where there still is something.
func (m *mailReader) skipBody() error {
	for m.inside {
		if _, err := m.piece(); err != nil {
			return ignoreEOF(err)
		}
	}
	return nil
}

func ignoreEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// appendCRLF appends a piece, a line end as CRLF.
func appendCRLF(dst, text []byte) []byte {
	if line, ended := bytes.CutSuffix(text, []byte("\n")); ended {
		return append(append(dst, bytes.TrimSuffix(line, []byte("\r"))...), "\r\n"...)
	}
	return append(dst, text...)
}

// hasBareCR reports a CR that does not belong to the line end of a piece.
func hasBareCR(text []byte) bool {
	return bytes.IndexByte(bytes.TrimSuffix(text, []byte("\r\n")), '\r') >= 0
}

// piece returns the next line of the message as the file has it, or as much of a
// long one as is buffered, and io.EOF where the message ends. A CRLF is never
// split. It is valid until the next call.
func (m *mailReader) piece() ([]byte, error) {
	if !m.inside {
		return nil, io.EOF
	}
	if m.mbox && m.blank && m.atSeparator() {
		m.more, m.inside = true, false
		return nil, io.EOF
	}
	text, err := m.r.ReadSlice('\n')
	if err == io.EOF && len(text) > 0 {
		err = nil
	}
	begins := !m.inLine
	m.inLine = errors.Is(err, bufio.ErrBufferFull)
	if m.inLine {
		err = nil
		if n := len(text) - 1; text[n] == '\r' && m.r.UnreadByte() == nil {
			text = text[:n]
		}
	}
	m.inside = err == nil
	m.blank = begins && (string(text) == "\n" || string(text) == "\r\n")
	m.bareCR = m.bareCR || hasBareCR(text)
	return text, err
}

func (m *mailReader) skipLine() error {
	for {
		_, err := m.r.ReadSlice('\n')
		if !errors.Is(err, bufio.ErrBufferFull) {
			return ignoreEOF(err)
		}
	}
}

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

func (m *mailReader) atSeparator() bool {
	if begin, _ := m.r.Peek(len(mboxFrom)); !bytes.Equal(begin, mboxFrom) {
		return false
	}
	line, _ := m.r.Peek(maxSeparator)
	return separator.Match(line)
}

// A crMender makes one LF of a CRLF and of a CR that stands alone.
type crMender struct {
	r     io.Reader
	wasCR bool
}

func (c *crMender) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	mended := p[:0]
	for _, b := range p[:n] {
		after := c.wasCR
		c.wasCR = b == '\r'
		switch {
		case c.wasCR:
			mended = append(mended, '\n')
		case b != '\n' || !after:
			mended = append(mended, b)
		}
	}
	return len(mended), err
}

// fieldValue returns what follows the colon in the first field of a name.
func fieldValue(header []byte, name string) string {
	for len(header) > 0 {
		end := fieldEnd(header)
		before, value, _ := bytes.Cut(header[:end], []byte(":"))
		if strings.EqualFold(string(bytes.TrimRight(before, " \t")), name) {
			return strings.TrimSpace(string(value))
		}
		header = header[end:]
	}
	return ""
}

// fieldEnd returns where the field at the start of b ends, folded lines
// included.
func fieldEnd(b []byte) int {
	end := 0
	for {
		n := bytes.IndexByte(b[end:], '\n')
		if n < 0 {
			return len(b)
		}
		if end += n + 1; end == len(b) || b[end] != ' ' && b[end] != '\t' {
			return end
		}
	}
}

// A source is a file to read; "-" is standard input.
type source struct {
	path string
	size int64
}

// A listing finds the files of folders.
type listing struct {
	sources []source
	failed  func(error)
}

// add takes what the user named, whatever it is.
func (l *listing) add(path string) {
	if path == "-" {
		l.sources = append(l.sources, source{path: path})
		return
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		l.failed(err)
	case info.IsDir():
		l.folder(path)
	default:
		l.sources = append(l.sources, source{path, info.Size()})
	}
}

// folder takes all files of a folder. Links to folders are not followed: they
// may lead round in circles.
func (l *listing) folder(path string) {
	entries, err := os.ReadDir(path)
	if err != nil {
		l.failed(err)
	}
	maildir := isMaildir(entries)
	for _, e := range entries {
		child := filepath.Join(path, e.Name())
		switch {
		case skipped(e, maildir):
		case e.IsDir():
			l.folder(child)
		default:
			l.file(child)
		}
	}
}

func (l *listing) file(path string) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		l.failed(err)
	case info.Mode().IsRegular(): // a pipe or a device might never end
		l.sources = append(l.sources, source{path, info.Size()})
	}
}

func isMaildir(entries []os.DirEntry) bool {
	has := func(name string) bool {
		return slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.IsDir() && e.Name() == name })
	}
	return has("cur") && has("new")
}

// skipped reports what holds no messages. In a Maildir that is its tmp (they
// are not finished there) and every file; its hidden folders are mail folders.
func skipped(e os.DirEntry, maildir bool) bool {
	if maildir {
		return !e.IsDir() || e.Name() == "tmp"
	}
	index := strings.HasSuffix(e.Name(), ".msf") // Thunderbird's, beside each mbox
	return strings.HasPrefix(e.Name(), ".") || index
}
