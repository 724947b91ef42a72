package archive

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
)

// A Reader takes the messages out of an mbox, or the only one out of another
// file. It holds one header and one piece of a body, however large the file.
type Reader struct {
	Mbox   bool // there may be several messages
	BareCR bool // a CR stands alone in what was read of the message

	in      *bufio.Reader
	options Options
	first   separator // of an mbox
	more    bool      // the separator line of a message comes next
	inside  bool      // a message has begun and not ended
	begun   bool      // there was a piece of it
	inLine  bool      // the last piece did not end its line
	blank   bool      // the last piece was an empty line
}

// Options are the guard's.
type Options struct {
	HeaderBytes int
	LineBytes   int  // of a header
	MendCR      bool // a CR that stands alone ends a line
}

// Next goes on to the next message and returns its header with the empty line
// that ends it, its lines ended by CRLF as they would be on the wire; or io.EOF.
// After another error there may be further messages.
func (r *Reader) Next() (header []byte, err error) {
	if err := r.skipBody(); err != nil {
		return nil, err
	}
	if !r.more {
		return nil, io.EOF
	}
	if r.Mbox {
		if err := r.skipLine(); err != nil {
			r.more = false
			return nil, err
		}
	}
	r.more, r.inside, r.begun, r.inLine, r.blank, r.BareCR = false, true, false, false, false, false
	header, err = r.readHeader()
	if err != nil {
		return nil, cmp.Or(r.skipBody(), err)
	}
	return header, nil
}

// readHeader ends where the guard ends a header: behind an empty line, or where
// this is the first line, behind the next one (see policy).
func (r *Reader) readHeader() (header []byte, err error) {
	line := 0
	for {
		text, err := r.Piece()
		if err != nil {
			return header, ignoreEOF(err)
		}
		line += len(text)
		switch {
		case line > r.options.LineBytes+len("\r\n"):
			return nil, fmt.Errorf("a header line is longer than %d bytes", r.options.LineBytes)
		case len(header)+len(text) > r.options.HeaderBytes:
			return nil, fmt.Errorf("the header is longer than %d bytes", r.options.HeaderBytes)
		}
		header = AppendCRLF(header, text)
		if r.inLine {
			continue
		}
		line = 0
		if len(header) > len("\r\n") && (r.blank || bytes.HasPrefix(header, []byte("\r\n"))) {
			return header, nil
		}
	}
}

// skipBody reads to the end of the message, where there still is something.
func (r *Reader) skipBody() error {
	for r.inside {
		if _, err := r.Piece(); err != nil {
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

// Piece returns the next line of the message as the file has it, or as much of a
// long one as is buffered, and io.EOF where the message ends. A CRLF is never
// split. It is valid until the next call.
func (r *Reader) Piece() ([]byte, error) {
	if !r.inside {
		return nil, io.EOF
	}
	if r.Mbox && r.begun && !r.inLine && r.atSeparator() {
		r.more, r.inside = true, false
		return nil, io.EOF
	}
	text, err := r.in.ReadSlice('\n')
	if err == io.EOF && len(text) > 0 {
		err = nil
	}
	begins := !r.inLine
	r.begun = true
	r.inLine = errors.Is(err, bufio.ErrBufferFull)
	if r.inLine {
		err = nil
		if n := len(text) - 1; text[n] == '\r' && r.in.UnreadByte() == nil {
			text = text[:n]
		}
	}
	r.inside = err == nil
	r.blank = begins && (string(text) == "\n" || string(text) == "\r\n")
	r.BareCR = r.BareCR || hasBareCR(text)
	return text, err
}

func (r *Reader) skipLine() error {
	for {
		_, err := r.in.ReadSlice('\n')
		if !errors.Is(err, bufio.ErrBufferFull) {
			return ignoreEOF(err)
		}
	}
}
