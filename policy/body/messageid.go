package body

import (
	"bytes"
	"slices"
)

// idFields are followed by the names of messages, which look like addresses
// (RFC 5322 section 3.6.4).
var idFields = []string{"references:", "in-reply-to:", "message-id:"}

// idBlanks stand between the tokens, and in HTML also a seam.
const idBlanks = " \t\x1f"

// An idSkipper skips the names of messages in text where a header was pasted: the
// <id> tokens behind such a field with nothing but blanks between, folded or not, up
// to the first other word. People who are named as references have other words.
type idSkipper struct{ inField bool }

// skip returns what of a line, or of a piece of one, may be addresses.
func (s *idSkipper) skip(line []byte, begins bool) []byte {
	rest := line
	if begins {
		rest = bytes.TrimLeft(line, idBlanks+">*")
		switch name := idField(rest); {
		case name > 0:
			s.inField, rest = true, rest[name:]
		case len(bytes.TrimRight(rest, "\r\n")) == 0: // an empty line ends a header
			s.inField = false
		}
	}
	if !s.inField {
		return line
	}
	for {
		rest = bytes.TrimLeft(rest, idBlanks+"\r\n")
		if len(rest) == 0 {
			return nil
		}
		end := bytes.IndexAny(rest, ">"+idBlanks+"\r\n")
		if rest[0] != '<' || end < 0 || rest[end] != '>' {
			s.inField = false
			return rest
		}
		rest = rest[end+1:]
	}
}

// idField returns how long the name of such a field at the start of a line is, with
// its colon, or 0.
func idField(line []byte) int {
	name := line[:bytes.IndexByte(line, ':')+1]
	if slices.ContainsFunc(idFields, func(id string) bool { return bytes.EqualFold(name, []byte(id)) }) {
		return len(name)
	}
	return 0
}
