package proxy

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

func (s *session) offers(keyword string) bool {
	_, ok := s.caps[keyword]
	return ok
}

// extensions are what is announced where the upstream has it, SIZE aside.
var extensions = []string{"8BITMIME", "SMTPUTF8", "DSN", "REQUIRETLS", "DELIVERBY", "MT-PRIORITY", "RRVS"}

// ehloReply announces what the upstream and sendguard can both do. PIPELINING
// is our own affair, and our own replies have enhanced codes.
func (s *session) ehloReply() []byte {
	lines := []string{localName, "PIPELINING", "ENHANCEDSTATUSCODES"}
	for _, keyword := range extensions {
		if s.offers(keyword) && (keyword != "REQUIRETLS" || s.isPrivate()) {
			lines = append(lines, strings.TrimSpace(keyword+" "+s.caps[keyword]))
		}
	}
	if s.offers("SIZE") {
		lines = append(lines, s.sizeLine())
	}
	if mechanisms := s.AuthMechanisms(); len(mechanisms) > 0 {
		lines = append(lines, "AUTH "+strings.Join(mechanisms, " "))
	}
	var b bytes.Buffer
	for i, line := range lines {
		sep := '-'
		if i == len(lines)-1 {
			sep = ' '
		}
		fmt.Fprintf(&b, "250%c%s\r\n", sep, line)
	}
	return b.Bytes()
}

// sizeLine announces the smaller of the upstream's limit and our own (RFC 1870
// section 4: zero is none).
func (s *session) sizeLine() string {
	limit := s.caps["SIZE"]
	n, err := strconv.ParseInt(limit, 10, 64)
	if own := s.route.limits.MessageBytes; own > 0 && (err != nil || n == 0 || own < n) {
		limit = strconv.FormatInt(own, 10)
	}
	return strings.TrimSpace("SIZE " + limit)
}

// localName is what clients see as our name.
const localName = "localhost"
