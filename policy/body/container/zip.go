package container

import (
	"bytes"
	"compress/flate"
	"io"
)

// Zip returns what looks for a zip file inside of level other containers, wherever in
// the content that is written to it one begins, and reads it. Nothing is held before
// one is found.
func (b *Bounds) Zip(level int, r Readers) io.WriteCloser {
	return &zipFinder{bounds: b, level: level, readers: r}
}

// A zipFinder looks for the first member of a zip file.
type zipFinder struct {
	bounds  *Bounds
	level   int
	readers Readers
	held    []byte // which may be the start of a header
	zip     *unpacker
}

func (f *zipFinder) Write(piece []byte) (int, error) {
	p := piece
	if f.zip == nil && !f.bounds.Done() {
		if len(f.held) > 0 {
			f.held = append(f.held, p...)
			p = f.held
		}
		n, found := findLocal(p)
		if found {
			f.zip = f.bounds.openUnpacker(f.level, f.readers, readZip)
		}
		if p = p[n:]; !found {
			f.held = append(f.held[:0], p...)
		}
	}
	if f.zip != nil {
		f.zip.Write(p)
	}
	return len(piece), nil
}

func (f *zipFinder) Close() error {
	if f.zip != nil {
		f.zip.Close()
	}
	return nil
}

// A zipReader reads the members of a zip file by what stands before each, since the
// directory comes last. What is no member is read as text: a directory tells names and
// comments.
type zipReader struct {
	*unpacker
	inflate io.ReadCloser
}

func readZip(u *unpacker) {
	z := &zipReader{unpacker: u}
	for !z.bounds.Done() && len(z.peek(1)) > 0 {
		h, ok := parseLocal(z.peek(localSize))
		switch p := z.peek(centralSize); {
		case ok:
			z.member(h)
		case len(p) >= centralSize && bytes.HasPrefix(p, []byte(centralSignature)):
			name, extra, comment := little.Uint16(p[28:]), little.Uint16(p[30:]), little.Uint16(p[32:])
			z.in.Discard(centralSize)
			z.line(z.text(int(name)))
			z.in.Discard(int(extra))
			z.line(z.text(int(comment)))
		case len(p) >= endSize && bytes.HasPrefix(p, []byte(endSignature)):
			z.line(nil)
			z.in.Discard(endSize)
		default:
			z.gap()
		}
	}
}

// member reads one member.
func (z *zipReader) member(h localHeader) {
	if !z.bounds.member() {
		return
	}
	z.in.Discard(localSize)
	z.line(z.text(h.name))
	h.addExtra(z.text(h.extra))
	switch {
	case h.encrypted():
		z.bounds.found.Encrypted++
		if h.sized() {
			io.CopyN(io.Discard, z.in, h.size)
		}
	case h.method == deflated:
		z.inflated()
	case h.method != stored:
		z.bounds.found.Unknown++
	case h.sized():
		to := z.readers.Member(z.level, false)
		z.copy(to, io.LimitReader(z.in, h.size))
		to.Close()
	default:
		z.unsized()
	}
}

// inflated reads a deflated member. It ends itself, whatever the header says.
func (z *zipReader) inflated() {
	to := z.readers.Member(z.level, false)
	place := z.remember()
	if z.inflate == nil {
		z.inflate = flate.NewReader(z.in)
	} else {
		z.inflate.(flate.Resetter).Reset(z.in, nil)
	}
	err := z.copy(to, z.inflate)
	to.Close()
	if err != io.EOF {
		z.restore(place)
	}
}
