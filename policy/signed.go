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

// rewriteRefusal says why the addresses of a message cannot be taken out of its
// header, in fields of the kinds that would change: they would still be somewhere, or a signature would break.
func (d *decision) rewriteRefusal(changed [kindCount]bool) Reason {
	for kind, is := range changed {
		if is && d.signed[kind] {
			return ReasonSigned
		}
	}
	for n := range d.headers { // of the parts that a copy may be in, too
		for _, media := range d.headers[n].mediaTypes() {
			switch media {
			case "multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime":
				return ReasonSealed
			case "application/ms-tnef", "application/vnd.ms-tnef":
				return ReasonAttendees
			}
		}
	}
	if d.outer.isCalendar(d.message.Body) {
		return ReasonAttendees
	}
	return ReasonNone
}
