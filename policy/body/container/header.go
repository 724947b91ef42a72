package container

import (
	"bytes"
	"encoding/binary"
)

// The fixed parts of what a zip file holds beside its members (APPNOTE.TXT 6.3.10
// sections 4.3.7, 4.3.12 and 4.3.16).
const (
	localSignature   = "PK\x03\x04"
	centralSignature = "PK\x01\x02"
	endSignature     = "PK\x05\x06"

	localSize   = 30
	centralSize = 46
	endSize     = 22
)

var little = binary.LittleEndian

// The general purpose flags (section 4.4.4) that matter.
const (
	flagEncrypted  = 1 << 0
	flagDescriptor = 1 << 3 // the sizes follow the data
	flagMasked     = 1 << 13
	flagsUnused    = 1<<14 | 1<<15 | 0x780
)

// The compression methods (section 4.4.5) that are read.
const (
	stored   = 0
	deflated = 8

	maxMethod = 99
)

// A localHeader stands before a member.
type localHeader struct {
	flags, method uint16
	size          int64 // of the data, as far as it is known
	name, extra   int   // their lengths
}

// parseLocal reads the header at the start of p. It is strict about what no writer
// does, for a header is looked for in whatever comes.
func parseLocal(p []byte) (h localHeader, ok bool) {
	if len(p) < localSize || !bytes.HasPrefix(p, []byte(localSignature)) {
		return h, false
	}
	h = localHeader{
		flags:  little.Uint16(p[6:]),
		method: little.Uint16(p[8:]),
		size:   int64(little.Uint32(p[18:])),
		name:   int(little.Uint16(p[26:])),
		extra:  int(little.Uint16(p[28:])),
	}
	return h, h.flags&flagsUnused == 0 && h.method <= maxMethod
}

// sized reports whether the size of the data is known.
func (h *localHeader) sized() bool { return h.flags&flagDescriptor == 0 || h.size > 0 }

// encrypted reports a member that cannot be read without a password.
func (h *localHeader) encrypted() bool { return h.flags&(flagEncrypted|flagMasked) != 0 }

// addExtra takes the size from the extra field for zip64 (section 4.5.3), where the
// header refers to it.
func (h *localHeader) addExtra(extra []byte) {
	if h.size != 0xffffffff {
		return
	}
	for len(extra) >= 4 {
		id, n := little.Uint16(extra), int(little.Uint16(extra[2:]))
		extra = extra[4:]
		if id == 1 && n >= 16 && len(extra) >= 16 {
			h.size = max(0, int64(little.Uint64(extra[8:])))
			return
		}
		extra = extra[min(n, len(extra)):]
	}
}

// Find returns where in the start of a file a gzip or zip file begins, if one does.
func Find(start []byte) (n int, found bool) {
	if IsGzip(start) {
		return 0, true
	}
	return findLocal(start)
}

// findLocal looks for the first header in p. Where there is none, n is where one may
// begin once more has come.
func findLocal(p []byte) (n int, found bool) {
	for {
		i := bytes.Index(p[n:], []byte(localSignature))
		if i < 0 {
			break
		}
		n += i
		if len(p)-n < localSize {
			return n, false
		}
		if _, ok := parseLocal(p[n:]); ok {
			return n, true
		}
		n += len(localSignature)
	}
	rest := len(localSignature) - 1
	n = max(n, len(p)-rest)
	for n < len(p) && !bytes.HasPrefix([]byte(localSignature), p[n:]) {
		n++
	}
	return n, false
}
