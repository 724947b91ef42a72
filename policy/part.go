package policy

import (
	"bytes"
	"strings"
)

// A partHeader is what the header of a part says about its content.
type partHeader struct {
	digest       bool // without a type, it is a message
	isMessage    bool // it is the header of an attached message
	types        []string
	encodings    []string
	dispositions []string
}

// maxFields is how many fields of one kind are looked at: mail clients differ
// in which of two they take.
const maxFields = 4

// wants reports whether a field matters.
func (h *partHeader) wants(name []byte) bool {
	list := h.list(name)
	return list != nil && len(*list) < maxFields
}

func (h *partHeader) list(name []byte) *[]string {
	switch strings.ToLower(string(name)) {
	case "content-type":
		return &h.types
	case "content-transfer-encoding":
		return &h.encodings
	case "content-disposition":
		return &h.dispositions
	}
	return nil
}

// add takes a field, unfolded.
func (h *partHeader) add(field []byte) {
	name, value, _ := bytes.Cut(field, []byte(":"))
	list := h.list(bytes.TrimRight(name, " \t"))
	*list = append(*list, strings.TrimSpace(string(value)))
}

// The bounds of what a reader holds. No mail program comes near any of them:
// a boundary has at most 70 characters (RFC 2046 section 5.1.1).
const (
	maxLine       = 16 << 10 // a longer one is passed on in pieces of this length
	maxField      = 8 << 10  // what is more of a field is dropped
	maxBoundary   = 1 << 10
	maxBoundaries = 32 // multiparts inside of each other
	maxReaders    = 4  // encoded messages inside of each other

	// readerMemory is more than all of it, with what decodes and reads the
	// content of one part.
	readerMemory = 192 << 10
)
