package proxy

import (
	"bytes"
	"errors"
	"math"
	"strconv"

	"sendguard/proxy/wire"
)

// Command says what the library is given of a command line: a line of our own
// that says no more than which command came, or nothing where it is answered
// here. The line that goes upstream is the client's, and what is wrong with it
// is the upstream's to say.
func (s *session) Command(line []byte) []byte {
	if s.farewell.Code != 0 && !isVerb(line, "QUIT") {
		s.w.EndWith(s.referAnew(s.farewell, ""))
		return nil
	}
	s.event = event{}
	s.traceCommand(line)
	if s.auth.open { // base64 can spell any verb
		return s.screenResponse(line)
	}
	verb := verbOf(line)
	switch {
	case line[0] == tlsHandshake:
		s.hangUpOn(faultTLSOnPlaintext) // the client has its connection security not at none
	case isHTTP(verb, line):
		s.hangUpOn(faultHTTP)
	case verb == "BDAT": // its chunk follows, whatever the answer
		s.endFor(replyBdat, faultBdat)
	case verb == "" || hasControls(line):
		s.refuse(replyBadCommand)
	case verb == "STARTTLS":
		s.startTLS(line)
	case s.tlsDue():
		return s.beforeTLS(verb)
	case verb == "VRFY":
		s.verify()
	case (verb == "EHLO" || verb == "HELO") && len(line) > maxEnvelopeLine: // its name is kept, also by the pool
		s.refuse(replyLineTooLong)
	case verb == "NOOP" || verb == "RSET":
		return s.relayIdle(verb, line)
	case (verb == "EHLO" || verb == "HELO") && s.caps != nil:
		return s.greetAgain(verb, line)
	default:
		return s.screenOrdered(verb, line)
	}
	return nil
}

// traceCommand is trace for what the client says. Of words that are no verbs it
// keeps silent: they may be anything.
func (s *session) traceCommand(line []byte) {
	if !s.traced {
		return
	}
	verb := verbOf(line)
	switch {
	case s.auth.open:
		verb = "response"
	case forLibrary[verb] == "" && verb != "NOOP" && verb != "VRFY" && verb != "STARTTLS" && verb != "BDAT":
		verb = "unknown"
	}
	s.trace("client", "verb", verb, "bytes", len(line))
}

// screenOrdered is for the commands whose order the library keeps. What needs
// an argument or has none to have is refused before it: it would count that, and
// hang up after a few.
func (s *session) screenOrdered(verb string, line []byte) []byte {
	if verb == "DATA" {
		s.w.ExpectMessage()
	}
	arguments := len(bytes.Fields(line)) - 1
	switch known := forLibrary[verb]; {
	case known == "":
		s.refuse(replyNotImplemented)
	case verb == "QUIT":
		return []byte(known)
	case (verb == "EHLO" || verb == "HELO") && arguments == 0:
		s.refuse(replyNoName)
	case s.caps == nil && verb != "EHLO" && verb != "HELO": // RFC 5321 section 4.1.4
		s.refuse(replyNoGreeting)
	case verb == "AUTH" && arguments == 0:
		s.refuse(replyNoMechanism)
	case verb == "DATA" && arguments > 0:
		s.refuse(replyNoArgument)
	default:
		return []byte(known)
	}
	return nil
}

// forLibrary are the commands whose order the library keeps, as it is to see
// them. No other is ever relayed, but for NOOP.
var forLibrary = map[string]string{
	"EHLO": "EHLO a\r\n",
	"HELO": "HELO a\r\n",
	"AUTH": "AUTH A\r\n", // without the initial response
	"MAIL": "MAIL FROM:<>\r\n",
	"RCPT": "RCPT TO:<a@b>\r\n",
	"DATA": "DATA\r\n",
	"RSET": "RSET\r\n",
	"QUIT": "QUIT\r\n",
}

// Replied is called when the library is done with a command, and said what it makes
// of it.
func (s *session) Replied(said []byte, answered bool) {
	verb := verbOf(s.w.Line())
	switch {
	case s.auth.responded: // whatever verb the response spells
		s.auth.responded = false
	case !answered && bytes.HasPrefix(said, []byte("50")):
		s.w.Answer(s.refer(newReply([]byte(outOfOrder[verb]))).Raw)
		s.w.Wrong()
	case verb == "EHLO" && s.caps != nil:
		s.w.Answer(s.ehloReply())
	case verb == "HELO" && s.caps != nil:
		s.w.Answer([]byte(replyHelo))
	}
}

// outOfOrder are the replies to commands that the library refused since they
// came too early (RFC 5321 section 4.1.4), or for the second time (RFC 4954
// section 4).
var outOfOrder = map[string]string{
	"AUTH": replyAuthTwice,
	"DATA": replyNoRecipients,
	"RCPT": replyNoMail,
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
	for _, c := range bytes.TrimSuffix(line, wire.CRLF) {
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

// verbOf returns the verb of a command line in upper case. White space before it
// is nothing to servers.
func verbOf(line []byte) string {
	line = bytes.TrimLeft(line, " \t")
	end := bytes.IndexAny(line, " \t\r\n")
	if end < 0 {
		end = len(line)
	}
	return string(bytes.ToUpper(line[:end]))
}
