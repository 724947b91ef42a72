package mail

import "bytes"

// Applications keep what they were told of hidden recipients in fields of their
// own, and some send these.

// findApplicationFields finds the kinds of fields that depend on their value.
func (h *Header) findApplicationFields() {
	for n := range h.Fields {
		f := &h.Fields[n]
		if f.Kind != Other && f.Kind != ApplicationBcc && f.Kind != NotesTo {
			continue
		}
		switch name := bytes.TrimRight(h.Raw[f.Start:f.Value-1], " \t"); {
		case isApplicationBcc(name) && showsAny(h.Value(*f)):
			f.Kind = ApplicationBcc
		case isNotesItem(name):
			f.Kind = notesKind(h.Value(*f))
		default:
			f.Kind = Other
		}
	}
}

// isApplicationBcc reports a name such as X-Odoo-Bcc.
func isApplicationBcc(name []byte) bool {
	n := len(name) - len("-bcc")
	return n > 0 && name[n] == '-' && bytes.EqualFold(name[n:], []byte("-bcc"))
}

func isNotesItem(name []byte) bool {
	return len(name) == len("x-notes-item") && bytes.EqualFold(name, []byte("x-notes-item"))
}

// notesKind is the kind of an X-Notes-Item by the name of its item: Domino
// writes "ann@example.org; type=501; flags=0; name=AltBlindCopyTo".
func notesKind(value []byte) Kind {
	for part := range bytes.SplitSeq(bytes.ToLower(value), []byte(";")) {
		key, name, _ := bytes.Cut(part, []byte("="))
		if string(bytes.TrimSpace(key)) != "name" {
			continue
		}
		switch name = bytes.Trim(name, " \t\r\n\""); {
		case bytes.HasSuffix(name, []byte("blindcopyto")):
			return ApplicationBcc
		case bytes.HasSuffix(name, []byte("sendto")), bytes.HasSuffix(name, []byte("copyto")):
			return NotesTo
		}
	}
	return Other
}

// showsAny reports whether a value shows an address.
func showsAny(value []byte) (shows bool) {
	ScanAddresses(value, func(_, _ []byte) { shows = true })
	return shows
}
