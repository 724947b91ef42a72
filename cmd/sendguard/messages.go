package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"sendguard/policy"
)

// A message is one message of an archive, as far as the policy looks at it. Its
// lines end in CRLF, as they would on the wire.
type message struct {
	header    []byte // with the empty line that ends it
	body      []byte // its begin, where the policy wants it
	cut       bool   // it goes on behind that
	attendees bool   // anywhere in a body that the policy wants
	inBody    int    // addresses that the body shows, where the policy inspects it
	bare      bool   // a CR stands alone, in the header or anywhere in the body
}

// A mailReader takes the messages out of an mbox, or the only one out of
// another file. It holds one header and the begin of one body, however large
// the file.
type mailReader struct {
	r         *bufio.Reader
	maxHeader int
	maxLine   int // of a header
	policy    *policy.Policy
	mbox      bool
	more      bool // the separator line of a message comes next
	inLine    bool // the last piece did not end its line
	blank     bool // the last piece was an empty line
}

// newMailReader reads r within the limits of the guard, as far as the policy
// wants.
func newMailReader(r io.Reader, limits serverConfig, p *policy.Policy) (*mailReader, error) {
	if p.BareNewline == policy.NormalizeBare {
		r = &crMender{r: r}
	}
	m := &mailReader{r: bufio.NewReaderSize(r, 64<<10), maxHeader: limits.MaxHeaderBytes, maxLine: limits.MaxLineBytes, policy: p}
	begin, err := m.r.Peek(maxSeparator)
	if err != nil && err != io.EOF {
		return nil, err
	}
	m.mbox, m.more = isMbox(begin), len(begin) > 0
	return m, nil
}

// next returns the next message, or io.EOF. After another error there may be
// further messages.
func (m *mailReader) next() (*message, error) {
	if !m.more {
		return nil, io.EOF
	}
	if m.mbox {
		if err := m.skipLine(); err != nil {
			m.more = false
			return nil, err
		}
	}
	m.more, m.inLine, m.blank = false, false, false
	msg := &message{}
	headerErr := m.readHeader(msg)
	if err := m.readBody(msg); err != nil {
		return nil, err
	}
	return msg, headerErr
}

// readHeader ends where the guard ends a header: behind an empty line, or where
// this is the first line, behind the next one (see policy).
func (m *mailReader) readHeader(msg *message) error {
	line := 0
	for {
		text, err := m.piece()
		if err != nil {
			return ignoreEOF(err)
		}
		line += len(text)
		switch {
		case line > m.maxLine+len("\r\n"):
			return fmt.Errorf("a header line is longer than %d bytes", m.maxLine)
		case len(msg.header)+len(text) > m.maxHeader:
			return fmt.Errorf("the header is longer than %d bytes", m.maxHeader)
		}
		msg.bare = msg.bare || hasBareCR(text)
		msg.header = appendCRLF(msg.header, text)
		if m.inLine {
			continue
		}
		line = 0
		if len(msg.header) > len("\r\n") && (m.blank || bytes.HasPrefix(msg.header, []byte("\r\n"))) {
			return nil
		}
	}
}

func (m *mailReader) readBody(msg *message) error {
	wanted := m.policy.WantsBody(msg.header, nil) > 0
	var parts policy.AttendeesScanner
	var scanner *policy.BodyScanner
	if m.policy.InspectBody {
		scanner = policy.NewBodyScanner(msg.header, msg.sender(), false)
	}
	var line []byte
	for {
		text, err := m.piece()
		if err != nil {
			msg.endOfBody(scanner)
			return ignoreEOF(err)
		}
		msg.bare = msg.bare || hasBareCR(text)
		if scanner != nil {
			scanner.Write(text)
		}
		if wanted {
			line = appendCRLF(line[:0], text)
			kept := min(len(line), policy.MaxBody-len(msg.body))
			msg.body, msg.cut = append(msg.body, line[:kept]...), msg.cut || kept < len(line)
			msg.attendees = msg.attendees || parts.Found(line)
		}
	}
}

// sender is the envelope's sender, as far as the message still tells it.
func (msg *message) sender() string {
	return strings.Trim(fieldValue(msg.header, "Return-Path"), "<>")
}

func (msg *message) endOfBody(scanner *policy.BodyScanner) {
	if scanner != nil {
		scanner.Close()
		msg.inBody = scanner.Count()
	}
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

// piece returns the next line of the message, or as much of a long one as is
// buffered, and io.EOF where the message ends. A CRLF is never split.
func (m *mailReader) piece() ([]byte, error) {
	if m.more || m.mbox && m.blank && m.atSeparator() {
		m.more = true
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
	m.blank = begins && (string(text) == "\n" || string(text) == "\r\n")
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
