package mail

// decoded returns a body without its transfer encoding, where it has one
// (RFC 6532 section 3.7 allows one for message/global).
func (h *Header) decoded(body []byte) ([]byte, bool) {
	switch transferEncoding(h.Encodings()) {
	case "base64":
		return decodeBase64(body), true
	case "quoted-printable":
		return decodeQuotedPrintable(body), true
	}
	return nil, false
}

// Encodings are the transfer encodings that a message claims.
func (h *Header) Encodings() (values []string) {
	for _, value := range h.Values(ContentTransferEncoding) {
		values = append(values, string(value))
	}
	return values
}

// transferEncoding is the first of the values that names one to undo, or "".
func transferEncoding(values []string) string {
	for _, value := range values {
		if name := mediaType(value); name == "base64" || name == "quoted-printable" {
			return name
		}
	}
	return ""
}
