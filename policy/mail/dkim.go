package mail

import "bytes"

// SignedKinds says which kinds of fields a DKIM signature of the message
// covers: those named in the h= tag of a DKIM-Signature (RFC 6376 section
// 3.5). They must stay as they are, or the signature breaks.
func (h *Header) SignedKinds() (signed [Kinds]bool) {
	for _, value := range h.Values(DKIMSignature) {
		for tag := range bytes.SplitSeq(value, []byte(";")) {
			name, list, _ := bytes.Cut(tag, []byte("="))
			if string(bytes.TrimSpace(name)) != "h" {
				continue
			}
			for field := range bytes.SplitSeq(list, []byte(":")) {
				name := bytes.TrimSpace(field)
				signed[KindOf(name)] = true
				signed[ApplicationBcc] = signed[ApplicationBcc] || isApplicationBcc(name) && KindOf(name) == Other || isNotesItem(name)
			}
		}
	}
	signed[Other] = false
	return signed
}
