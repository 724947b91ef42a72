package proxy

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strconv"
)

// screen says what the library is given of a command line: the line itself,
// or nothing where it is answered here.
func (s *session) screen(line []byte) []byte {
	if s.auth.open { // base64 can spell any verb
		if hasControls(line) {
			s.w.line = append(s.w.line[:0], "*\r\n"...)
		}
		return s.w.line
	}
	verb := verbOf(line)
	switch {
	case line[0] == tlsHandshake:
		s.w.fail(faultTLSOnPlaintext) // the client has its connection security not at none
	case isHTTP(verb, line):
		s.w.fail(faultHTTP)
	case verb == "BDAT": // its chunk follows, whatever the answer
		s.w.endWith(replyBdat, faultBdat)
	case verb == "" || hasControls(line):
		s.w.refuse(replyBadCommand)
	case verb == "STARTTLS":
		s.startTLS(line)
	case s.tlsDue():
		return s.beforeTLS(verb, line)
	case !slices.Contains(relayed, verb):
		s.w.refuse(replyNotImplemented)
	default:
		s.w.body = verb == "DATA"
		return forLibrary(verb, line)
	}
	return nil
}

// forLibrary returns a command as the library is to see it. Of MAIL, RCPT and
// AUTH it needs to know only that they came: the line that is relayed is the
// client's, and what is wrong with it is the upstream's to say.
func forLibrary(verb string, line []byte) []byte {
	switch verb {
	case "MAIL":
		return []byte("MAIL FROM:<>\r\n")
	case "RCPT":
		return []byte("RCPT TO:<a@b>\r\n")
	case "AUTH":
		if words := bytes.Fields(line); len(words) > 1 {
			return []byte("AUTH " + string(words[1]) + "\r\n") // without the initial response
		}
	}
	return line
}

// relayed are the verbs that the library and the session know. No other is
// ever relayed.
var relayed = []string{"EHLO", "HELO", "AUTH", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT"}

// replied is called when the library is done with a command.
func (s *session) replied() {
	switch verb := verbOf(s.w.line); {
	case s.caps == nil: // not greeted
	case len(s.w.instead) == 0 && bytes.HasPrefix(s.w.slot, []byte("502")):
		s.w.instead = outOfOrder[verb]
	case s.auth.open || s.auth.asked: // whatever verb the response spells
		s.cancelAuth()
	case verb == "EHLO":
		s.w.instead = s.ehloReply()
	case verb == "NOOP" && s.up != nil && !s.mustLogIn(): // keeps the upstream from idling out, too
		r, err := s.ask("noop", s.w.line)
		if s.renewable() && !s.w.inside && isGone(r, err) {
			s.hangUp() // MAIL will find another
			return
		}
		if err != nil {
			r = s.lost(err, replyLost)
		}
		s.w.slot = r.raw
	}
}

// outOfOrder are the replies to commands that the library refused since they
// came too early (RFC 5321 section 4.1.4), or without what belongs to them.
var outOfOrder = map[string][]byte{
	"AUTH": []byte(replyNoMechanism),
	"DATA": []byte(replyNoRecipients),
	"RCPT": []byte(replyNoMail),
}

// tlsHandshake is the first byte of TLS (RFC 8446 section 5.1).
const tlsHandshake = 0x16

// isHTTP reports the line of a request that a web page had a browser send to
// this port: SMTP commands may be in its body.
func isHTTP(verb string, line []byte) bool {
	switch verb {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PRI":
		return true
	}
	return bytes.Contains(line, []byte(" HTTP/"))
}

func hasControls(line []byte) bool {
	for _, c := range bytes.TrimSuffix(line, crlf) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}

// pathOf returns the path of a MAIL or RCPT command: what stands between < and
// >, or without these, which many servers take, the first word. A quoted local
// part may hold any of them.
func pathOf(line []byte) string {
	_, path, _ := bytes.Cut(line, []byte(":"))
	path, bracketed := bytes.CutPrefix(bytes.TrimLeft(path, " \t"), []byte("<"))
	quoted := false
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == '>' && bracketed || (c == ' ' || c == '\r') && !bracketed):
			return string(path[:i])
		}
	}
	return string(bytes.TrimSpace(path)) // what it may mean, the upstream has to know
}

// sizeOf returns the SIZE parameter of a MAIL command (RFC 1870), or 0.
func sizeOf(line []byte) int64 {
	for word := range bytes.FieldsSeq(line) {
		if name, value, ok := bytes.Cut(word, []byte("=")); ok && bytes.EqualFold(name, []byte("SIZE")) {
			n, err := strconv.ParseInt(string(value), 10, 64)
			if errors.Is(err, strconv.ErrRange) {
				return math.MaxInt64
			}
			return n
		}
	}
	return 0
}

// isVerb reports whether a command line has the verb, in any letter case.
func isVerb(line []byte, verb string) bool { return verbOf(line) == verb }

// verbOf returns the verb of a command line in upper case.
func verbOf(line []byte) string {
	end := bytes.IndexAny(line, " \t\r\n")
	if end < 0 {
		end = len(line)
	}
	return string(bytes.ToUpper(line[:end]))
}
