package policy

import "bytes"

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
