package policy

import "bytes"

// newlines looks for a CR or LF that stands alone (RFC 5321 section 2.3.8) in text
// that comes in pieces.
type newlines struct {
	look bool // there is one, ahead
	inCR bool // a CR was the last byte
}

// bare returns how many bytes of a piece there are up to the first one that stands
// alone, itself included, or all. It is not told of a CR at the end, which may be one.
func (l *newlines) bare(p []byte) (n int, found bool) {
	if len(p) == 0 || !l.look {
		return len(p), false
	}
	if l.inCR && p[0] != '\n' {
		return 0, true
	}
	afterCR := l.inCR
	l.inCR = p[len(p)-1] == '\r'
	for at := 0; at < len(p); {
		lf := bytes.IndexByte(p[at:], '\n')
		line := p[at:]
		if lf >= 0 {
			line = p[at : at+lf]
		}
		ends := bytes.HasSuffix(line, []byte("\r"))
		if ends {
			line = line[:len(line)-1]
		}
		if cr := bytes.IndexByte(line, '\r'); cr >= 0 {
			return at + cr + 1, true
		}
		if lf < 0 {
			return len(p), false
		}
		if !ends && !(afterCR && at+lf == 0) {
			return at + lf + 1, true
		}
		at += lf + 1
	}
	return len(p), false
}
