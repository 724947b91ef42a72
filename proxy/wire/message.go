package wire

import (
	"bytes"
	"errors"
	"os"
	"sync"
)

// A Message takes one message from the wire, in pieces, as it came: still
// dot-stuffed (RFC 5321 section 4.5.2). Only CRLF.CRLF ends a message (section
// 4.1.1.4), or .CRLF in place of its first line.
type Message struct {
	w         *Wire
	normalize bool

	buf         *[]byte
	start, fill int // buf[start:fill] is read and not yet passed on

	bare   bool  // a bare CR or LF was seen, and not mended
	passed int64 // bytes that were passed on, without dot-stuffing
	dots   int   // of dot-stuffing, in what was passed on

	lineStart bool // the next byte comes after CRLF
	made      bool // the next byte comes after a line end that was mended
	mended    []byte
	tail      []byte // what came last, see seemsOver
}

// Most messages fit the small piece. The large one is a quarter faster on
// those of many megabytes.
const (
	smallPiece = 32 << 10
	largePiece = 256 << 10
)

var (
	smallPieces = sync.Pool{New: func() any { b := make([]byte, smallPiece); return &b }}
	largePieces = sync.Pool{New: func() any { b := make([]byte, largePiece); return &b }}
	CRLF        = []byte("\r\n")
)

// FinalDot ends a message.
var FinalDot = []byte(".\r\n")

// newMessage takes a small piece out of the budget; it returns nil where
// that is used up. The caller must release it.
func newMessage(w *Wire, normalize bool) *Message {
	b := &Message{w: w, normalize: normalize, lineStart: true, tail: bytes.Clone(CRLF)}
	if !w.memory.Take(b.cost(smallPiece)) {
		return nil
	}
	b.buf = smallPieces.Get().(*[]byte)
	return b
}

// cost is what a piece takes out of the budget: mended, it may be twice as long.
func (b *Message) cost(piece int) int {
	if b.normalize {
		return 3 * piece
	}
	return piece
}

func (b *Message) Release() {
	if len(*b.buf) == smallPiece {
		smallPieces.Put(b.buf)
	} else {
		largePieces.Put(b.buf)
	}
	b.w.memory.Give(b.cost(len(*b.buf)))
	b.buf = nil
}

// enlarge goes over to a large piece, if there is room for it.
func (b *Message) enlarge() {
	if !b.w.memory.Take(b.cost(largePiece)) {
		return
	}
	larger := largePieces.Get().(*[]byte)
	copy(*larger, (*b.buf)[b.start:b.fill])
	b.start, b.fill = 0, b.fill-b.start
	b.Release()
	b.buf = larger
}

// Next returns the next piece of the message, good until it is called again,
// and whether it is the last. A piece never ends within a CRLF. An error means
// that the message broke off.
func (b *Message) Next() (piece []byte, last bool, err error) {
	if b.fill == smallPiece && len(*b.buf) == smallPiece {
		b.enlarge()
	}
	for {
		copy(*b.buf, (*b.buf)[b.start:b.fill])
		b.start, b.fill = 0, b.fill-b.start
		n, err := b.w.read((*b.buf)[b.fill:])
		if err != nil {
			return nil, false, b.whyBroken(err)
		}
		b.keepTail((*b.buf)[b.fill : b.fill+n])
		b.fill += n
		p := (*b.buf)[:b.fill]
		lineStart := b.lineStart
		n, bare, last := b.scan(p)
		b.start = n
		if last {
			b.w.unread(p[n+len(FinalDot):])
		} else if n == 0 {
			continue
		}
		piece = p[:n]
		switch {
		case b.normalize && (bare || b.made):
			piece = b.mend(piece, lineStart)
		case bare:
			b.bare = true
		}
		b.passed += int64(len(piece))
		return piece, last, nil
	}
}

// Bare reports whether there was a bare CR or LF, and it was not mended.
func (b *Message) Bare() bool { return b.bare }

// Size is how many bytes came so far, without dot-stuffing.
func (b *Message) Size() int64 { return b.passed }

// Dots is how many dots of dot-stuffing came so far.
func (b *Message) Dots() int { return b.dots }

// Buffer is memory to use when the message has come to its end.
func (b *Message) Buffer() []byte { return *b.buf }

// Why a message broke off.
var (
	ErrGone    = errors.New("the client has gone")
	ErrStalled = errors.New("the message stopped coming")
	// ErrLineEnds: the client waits for the reply to a message that has not ended,
	// for its line ends are none.
	ErrLineEnds = errors.New("the line ends of a message are bare CR or LF")
)

// whyBroken says why a message broke off where reading has failed.
func (b *Message) whyBroken(err error) error {
	switch {
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return ErrGone
	case seemsOver(b.tail):
		return ErrLineEnds
	}
	return ErrStalled
}

const tailSize = len("\r\n.\r\nQUIT\r\n")

func (b *Message) keepTail(read []byte) {
	b.tail = append(b.tail, read[max(0, len(read)-tailSize):]...)
	b.tail = append(b.tail[:0], b.tail[max(0, len(b.tail)-tailSize):]...)
}

// seemsOver reports whether what came last is a dot on a line of its own, for a
// client that takes a CR or LF alone for a line end, with or without QUIT behind
// it. With CRLF on both sides the message would have ended; where only the last LF
// is missing, it may still have been on its way.
func seemsOver(tail []byte) bool {
	if bytes.HasSuffix(tail, []byte("\r\n.\r")) {
		return false
	}
	line, ended := cutLineEnd(tail)
	if rest, isQuit := bytes.CutSuffix(bytes.ToUpper(line), []byte("QUIT")); ended && isQuit {
		line, ended = cutLineEnd(rest)
	}
	before, isDot := bytes.CutSuffix(line, FinalDot[:1])
	_, isLine := cutLineEnd(before)
	return ended && isDot && isLine
}

func cutLineEnd(b []byte) (line []byte, ended bool) {
	for _, end := range []string{"\r\n", "\n", "\r"} {
		if line, ended = bytes.CutSuffix(b, []byte(end)); ended {
			return line, true
		}
	}
	return b, false
}

// scan finds how many bytes of p can be passed on, whether there is a bare CR
// or LF among them, and whether the message ends after them. What may be the
// start of the end is held back: a CR, or a dot at the start of a line.
func (b *Message) scan(p []byte) (n int, bare, last bool) {
	ends := 0 // of lines, that is CRLFs
	i := 0
	for i < len(p) {
		if b.lineStart && p[i] == '.' {
			switch line := p[i:]; {
			case bytes.HasPrefix(line, FinalDot):
				return i, bare || bytes.Count(p[:i], CRLF[:1]) != ends, true
			case bytes.HasPrefix(FinalDot, line):
				return i, bare || bytes.Count(p[:i], CRLF[:1]) != ends, false
			}
			b.unstuffed() // it is not part of the message
		}
		eol := bytes.IndexByte(p[i:], '\n')
		if eol < 0 {
			break
		}
		if eol > 0 && p[i+eol-1] == '\r' {
			b.lineStart = true
			ends++
		} else {
			b.lineStart = false
			bare = true
		}
		i += eol + 1
	}
	n = len(p)
	if i < n {
		if p[n-1] == '\r' {
			n--
		}
		b.lineStart = b.lineStart && n == i
	}
	return n, bare || bytes.Count(p[:n], CRLF[:1]) != ends, false
}

// unstuffed notes a dot of dot-stuffing.
func (b *Message) unstuffed() {
	b.passed--
	b.dots++
}

// mend turns every bare CR and bare LF of a piece into CRLF. It stuffs the
// lines that this makes, so that none of them looks like the final dot to the
// upstream: what follows a bare line end, and a lone dot before one. lineStart
// says that the piece comes after CRLF.
func (b *Message) mend(p []byte, lineStart bool) []byte {
	out := b.mended[:0]
	for i := 0; i < len(p); i++ {
		c := p[i]
		if c == '.' && (b.made || lineStart && i+1 < len(p) && (p[i+1] == '\r' || p[i+1] == '\n')) {
			out = append(out, '.')
			b.unstuffed()
		}
		lineStart, b.made = false, false
		switch {
		case c == '\r' && i+1 < len(p) && p[i+1] == '\n':
			out = append(out, CRLF...)
			lineStart = true
			i++
		case c == '\r' || c == '\n':
			out = append(out, CRLF...)
			b.made = true
		default:
			out = append(out, c)
		}
	}
	b.mended = out
	return out
}
