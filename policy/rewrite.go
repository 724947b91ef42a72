package policy

import (
	"bytes"
)

// A cut is a place in the raw header that a rewrite replaces.
type cut struct {
	start, end int
	with       []byte
}

// rewrite returns raw with cuts made; they are in order. Where two overlap, the
// first one wins. Without cuts it is raw itself.
func rewrite(raw []byte, cuts []cut) []byte {
	if len(cuts) == 0 {
		return raw
	}
	out := make([]byte, 0, len(raw))
	pos := 0
	for _, c := range cuts {
		if c.start < pos {
			continue
		}
		out = append(append(out, raw[pos:c.start]...), c.with...)
		pos = c.end
	}
	return append(out, raw[pos:]...)
}

// signedKinds says which kinds of fields a DKIM signature of the message
// covers: those named in the h= tag of a DKIM-Signature (RFC 6376 section
// 3.5). They must stay as they are, or the signature breaks.
func (h *header) signedKinds() (signed [kindCount]bool) {
	for _, value := range h.bodies(kindDKIMSignature) {
		for tag := range bytes.SplitSeq(value, []byte(";")) {
			name, list, _ := bytes.Cut(tag, []byte("="))
			if string(bytes.TrimSpace(name)) != "h" {
				continue
			}
			for field := range bytes.SplitSeq(list, []byte(":")) {
				signed[kindOf(bytes.TrimSpace(field))] = true
			}
		}
	}
	signed[kindOther] = false
	return signed
}
