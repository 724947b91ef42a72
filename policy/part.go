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
