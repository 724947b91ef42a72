package archive

import (
	"bytes"
	"strings"
)

// Field returns what follows the colon in the first field of a name.
func Field(header []byte, name string) string {
	for len(header) > 0 {
		end := fieldEnd(header)
		before, value, _ := bytes.Cut(header[:end], []byte(":"))
		if strings.EqualFold(string(bytes.TrimRight(before, " \t")), name) {
			return strings.TrimSpace(string(value))
		}
		header = header[end:]
	}
	return ""
}

// fieldEnd returns where the field at the start of b ends, folded lines
// included.
func fieldEnd(b []byte) int {
	end := 0
	for {
		n := bytes.IndexByte(b[end:], '\n')
		if n < 0 {
			return len(b)
		}
		if end += n + 1; end == len(b) || b[end] != ' ' && b[end] != '\t' {
			return end
		}
	}
}
