package container

import (
	"bufio"
	"bytes"
	"io"
	"iter"
	"runtime"
	"slices"
)

// Readers make what reads the bytes of a container.
type Readers struct {
	// Member returns what reads a member inside of so many containers. It may be
	// anything; asText says that it is read as text in any case.
	Member func(level int, asText bool) io.WriteCloser
	// Text returns what reads the bytes that are no member.
	Text func() io.WriteCloser
}

// pieceSize is how much is collected before it is read, and how much of a compressed
// member is read as text where it turns out to be none.
const pieceSize = 4 << 10

// An unpacker reads one container. Its bytes are pushed, as everything that streams
// past here, and inflate has to pull; a coroutine joins them, which runs only while
// Write or Close waits for it. Whoever opened it must Close it, or its Bounds.
type unpacker struct {
	bounds  *Bounds
	readers Readers
	level   int // of its members

	held   []byte // what was pushed
	at     int    // so much of it was pulled
	pulled int64  // in all
	ended  bool   // nothing more will be pushed
	resume func() (struct{}, bool)
	stop   func()
	pause  func(struct{}) bool

	in      *bufio.Reader
	outside io.WriteCloser // reads what is no member
	start   []byte         // of a compressed member
	buf     []byte         // what was unpacked
}

// openUnpacker opens a container inside of level others, or returns nil where it must
// not be read.
func (b *Bounds) openUnpacker(level int, r Readers, read func(u *unpacker)) *unpacker {
	if !b.admit(level) {
		return nil
	}
	u := &unpacker{bounds: b, readers: r, level: level + 1, held: make([]byte, 0, pieceSize), buf: make([]byte, pieceSize), outside: r.Text()}
	u.in = bufio.NewReaderSize(u, pieceSize)
	u.resume, u.stop = iter.Pull(func(yield func(struct{}) bool) {
		u.pause = yield
		read(u)
	})
	b.open = append(b.open, u)
	return u
}

// Write takes the next piece; it cannot fail.
func (u *unpacker) Write(piece []byte) (int, error) {
	for p := piece; len(p) > 0; {
		n := min(len(p), pieceSize-len(u.held))
		u.held = append(u.held, p[:n]...)
		if p = p[n:]; len(u.held) == pieceSize {
			u.run()
		}
	}
	return len(piece), nil
}

// run has read what is held.
func (u *unpacker) run() {
	u.resume()
	u.held, u.at = u.held[:0], 0
}

// Read is where inflate pulls.
func (u *unpacker) Read(p []byte) (int, error) {
	for u.at == len(u.held) {
		if u.ended || !u.pause(struct{}{}) {
			return 0, io.EOF
		}
	}
	n := copy(p, u.held[u.at:])
	u.at += n
	u.pulled += int64(n)
	return n, nil
}

// Close ends the container, cut short or not.
func (u *unpacker) Close() error {
	u.ended = true
	u.run()
	u.outside.Close()
	u.abandon()
	return nil
}

// abandon ends the coroutine, wherever it is.
func (u *unpacker) abandon() {
	u.bounds.open = slices.DeleteFunc(u.bounds.open, func(o *unpacker) bool { return o == u })
	u.stop()
}

// place returns how much of the container was read.
func (u *unpacker) place() int64 { return u.pulled - int64(u.in.Buffered()) }

// peek returns the next n bytes, or what there is of them.
func (u *unpacker) peek(n int) []byte {
	p, _ := u.in.Peek(n)
	return p
}

var lineEnd = []byte("\n")

// line has text that is no member read, apart from what stands around it.
func (u *unpacker) line(text []byte) {
	u.outside.Write(lineEnd)
	u.outside.Write(text)
	u.outside.Write(lineEnd)
}

// remember keeps the start of what may turn out to be no compressed data.
func (u *unpacker) remember() (place int64) {
	u.start = append(u.start[:0], u.peek(pieceSize)...)
	return u.place()
}

// restore has the start of what could not be unpacked read as text. What follows goes
// on with it.
func (u *unpacker) restore(place int64) {
	u.line(nil)
	u.outside.Write(u.start[:min(int64(len(u.start)), u.place()-place)])
}

// copy has what comes from a member read. It ends with io.EOF, or with what is wrong.
func (u *unpacker) copy(to io.Writer, from io.Reader) error {
	for {
		n, err := from.Read(u.buf)
		if !u.bounds.unpack(n) {
			return io.EOF
		}
		to.Write(u.buf[:n])
		if err != nil {
			return err
		}
		runtime.Gosched() // a small piece may unpack to much, and other sessions want their turn
	}
}

// text returns the next n bytes, or what there is of them.
func (u *unpacker) text(n int) []byte {
	p := make([]byte, n)
	n, _ = io.ReadFull(u.in, p)
	return p[:n]
}

// gap has what comes before the next signature read as text.
func (u *unpacker) gap() {
	p := u.peek(max(1, u.in.Buffered()))
	n := bytes.IndexByte(p[1:], localSignature[0]) + 1
	if n == 0 {
		n = len(p)
	}
	u.outside.Write(p[:n])
	u.in.Discard(n)
}
