package mail

import (
	"bytes"
	"strings"
)

// A PartHeader is what the header of a part says about its content.
type PartHeader struct {
	Digest       bool // without a type, it is a message
	IsMessage    bool // it is the header of an attached message
	types        []string
	Encodings    []string
	dispositions []string
}

// maxFields is how many fields of one kind are looked at: mail clients differ
// in which of two they take.
const maxFields = 4

// Wants reports whether a field matters.
func (h *PartHeader) Wants(name []byte) bool {
	list := h.list(name)
	return list != nil && len(*list) < maxFields
}

func (h *PartHeader) list(name []byte) *[]string {
	switch strings.ToLower(string(name)) {
	case "content-type":
		return &h.types
	case "content-transfer-encoding":
		return &h.Encodings
	case "content-disposition":
		return &h.dispositions
	}
	return nil
}

// Add takes a field, unfolded.
func (h *PartHeader) Add(field []byte) {
	name, value, _ := bytes.Cut(field, []byte(":"))
	list := h.list(bytes.TrimRight(name, " \t"))
	*list = append(*list, strings.TrimSpace(string(value)))
}

// The bounds of what a reader holds. No mail program comes near any of them:
// a boundary has at most 70 characters (RFC 2046 section 5.1.1).
const (
	MaxLine       = 16 << 10 // a longer one is passed on in pieces of this length
	MaxField      = 8 << 10  // what is more of a field is dropped
	MaxBoundary   = 1 << 10
	MaxBoundaries = 32 // multiparts inside of each other
	MaxReaders    = 4  // encoded messages inside of each other

	// ReaderMemory is more than all of it, with what decodes and reads the
	// content of one part.
	ReaderMemory = 192 << 10
)
