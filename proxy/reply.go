package proxy

import (
	"fmt"
	"strings"

	"github.com/emersion/go-smtp"

	"sendguard/policy"
	"sendguard/proxy/upstream"
)

// Every reply that sendguard originates, but for the refusals of the policy
// below. Each is one line of US-ASCII, but for the greeting before TLS.
const (
	replyNotAllowed     = "554 5.7.1 This machine may not send mail through sendguard\r\n"
	replyAuthRequired   = "530 5.7.0 Authentication required\r\n"
	replyStopping       = "421 4.3.2 sendguard is shutting down, try again in a moment\r\n"
	replyTooManyConns   = "421 4.7.0 Too many connections, try again later\r\n"
	replyTooManyErrors  = "421 4.7.0 Too many errors\r\n"
	replyInternal       = "421 4.3.0 Not sent: sendguard has made a mistake, try again\r\n"
	replyIdle           = "421 4.4.2 Idle for too long\r\n"
	replyStalled        = "421 4.4.2 Not sent: the message stopped coming in\r\n"
	replyLineEnds       = "421 4.4.2 Not sent: the message did not end, its line ends are bare CR or LF. Its lines must end in CR LF.\r\n"
	replyOutOfStep      = "421 4.7.0 A message came without leave to send it\r\n"
	replyReconnect      = "421 4.4.2 The connection to the server was closed, connect again\r\n"
	replySessionEnded   = "421 4.4.2 The server ended the session, connect again: %s\r\n"
	replyBadCommand     = "500 5.5.2 Not a command: control characters or nothing at all\r\n"
	replyLineTooLong    = "500 5.5.2 Command line too long\r\n"
	replyNotImplemented = "502 5.5.1 Command not implemented\r\n"
	replyNoTLS          = "502 5.5.1 No TLS here: set the mail client's connection security to none, sendguard uses TLS to the server\r\n"
	replyEhloTLS        = "250-" + localName + "\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250 STARTTLS\r\n"
	replyHelo           = "250 " + localName + "\r\n"
	replyReadyForTLS    = "220 2.0.0 Ready to start TLS\r\n"
	replyTLSFirst       = "530 5.7.0 Must issue a STARTTLS command first\r\n"
	replyTLSAlready     = "503 5.5.1 TLS is on already\r\n"
	replyTLSParameter   = "501 5.5.4 STARTTLS takes no parameter\r\n"
	replyInjected       = "421 4.7.0 Something came behind STARTTLS in the clear\r\n"
	replyBdat           = "502 5.5.1 CHUNKING is not offered here\r\n"
	replyOK             = "250 2.0.0 OK\r\n"
	replyNotVerified    = "252 2.5.0 Cannot verify the user, but will take a message and try\r\n"
	replyNoGreeting     = "503 5.5.1 Send EHLO first\r\n"
	replyNoName         = "501 5.5.4 Which name? EHLO and HELO take one\r\n"
	replyNoArgument     = "501 5.5.4 DATA takes no argument\r\n"
	replyNoMail         = "503 5.5.1 Send MAIL first\r\n"
	replyNoRecipients   = "554 5.5.1 No valid recipients\r\n"
	replyNoMechanism    = "501 5.5.4 Which mechanism?\r\n"
	replyNoAuth         = "502 5.5.1 The server does not offer AUTH\r\n"
	replyMechanism      = "504 5.7.4 This authentication mechanism is not offered\r\n"
	replyAuthOK         = "235 2.7.0 Authentication succeeded\r\n"
	replyAuthFailed     = "535 5.7.8 User name or password is wrong\r\n"
	replyAuthTooOften   = "421 4.7.0 Too many failed logins\r\n"
	replyAuthCancelled  = "501 5.7.0 Login cancelled, or not understood\r\n"
	replyAuthTwice      = "503 5.5.1 Logged in already\r\n"
	replyAuthInside     = "503 5.5.1 Not within a transaction\r\n"
	replyAuthBusy       = "454 4.7.0 Too many logins at this moment, try again\r\n"
	replyTooManyRcpts   = "452 4.5.3 Too many recipients\r\n"
	replyBuffersFull    = "452 4.3.1 Not sent: too much is being sent at this moment, try again\r\n"
	replyNoDescriptors  = "421 4.3.2 Not sent: sendguard has no file descriptor left, try again in a moment\r\n"
	replyNoMemory       = "421 4.3.1 Too much is being sent at this moment, try again\r\n"
	replyHeaderTooLarge = "552 5.3.4 Not sent: the header of this message is too large (limit %d bytes)\r\n"
	replyHeaderLine     = "554 5.6.0 Not sent: the header has a line that is too long (limit %d bytes)\r\n"
	replyTooLarge       = "552 5.3.4 Not sent: the message is too large (limit %d bytes)\r\n"
	replyUnreachable    = "421 4.4.1 Not sent: cannot reach %s: %s\r\n"
	replyNotLoggedIn    = "451 4.7.0 Not sent: sendguard cannot log in at %s: %s\r\n"
	replyNoToken        = "454 4.7.0 Not sent: sendguard has no OAuth2 token for %s: %s\r\n"
	replyOffersLess     = "421 4.4.2 Not sent: the server offers less than before, connect again\r\n"
	replyLost           = "421 4.4.2 Not sent: trouble with %s: %s\r\n"
	replyUnknown        = "451 4.4.2 Perhaps not sent: no last word from %s: %s\r\n"
	replyCopies         = "250 2.0.0 Sent: a copy of its own to each of %d recipients\r\n"
	replySomeCopies     = "451 4.3.0 Sent to %d of %d; send it again, and only those without a copy get one. The reason: %s\r\n"
	replyNoMoreCopies   = "%s Sent to %d of %d; the server refused the others: %s\r\n"
	replyTwin           = "451 4.3.0 Not sent again: this very message is being sent at this moment, try again in a minute\r\n"
	replyState          = "451 4.3.0 Not sent: cannot note who gets a copy, try again later\r\n"
	replySpool          = "452 4.3.1 Not sent: no room to hold the message, try again later\r\n"
	replyLostInMessage  = "451 4.4.2 Not sent: trouble with %s: %s\r\n"
)

// policyReply is the refusal of a message by the policy.
func policyReply(v *policy.Verdict) reply {
	var code, text string
	switch v.Reason {
	case policy.ReasonUnreadableHeader:
		code, text = "550 5.6.0", fmt.Sprintf("the header of this message cannot be read (line %d).", v.Line)
	case policy.ReasonBareNewline:
		code, text = "550 5.6.0", "bare CR or LF in the message (see SMTP smuggling). Its lines must end in CR LF."
	default:
		code, text = "550 5.7.1", overLimit(v)
	}
	if v.Hint != "" {
		text += " " + v.Hint
	}
	return newReply([]byte(code + " Not sent: " + text + "\r\n"))
}

// rewriteRefusals say why a message could not be rewritten.
var rewriteRefusals = map[policy.Reason]string{
	policy.ReasonSigned:    ", and the message is signed, so it cannot be rewritten",
	policy.ReasonSealed:    ", and the message is encrypted, so it cannot be rewritten",
	policy.ReasonAttendees: ", and the message is an invitation, so it cannot be rewritten",
}

// overLimit says what the message shows, and what to do about it.
func overLimit(v *policy.Verdict) string {
	var b strings.Builder
	if v.Claimed >= 0 {
		fmt.Fprintf(&b, "the subject says [show %d], but ", v.Claimed)
	}
	shows, advice := v.Refusal()
	fmt.Fprintf(&b, "%s%s. %s", shows, rewriteRefusals[v.Reason], advice)
	if v.Override {
		fmt.Fprintf(&b, ", or put [show %d] in the subject to send anyway", v.Count)
	}
	b.WriteByte('.')
	return b.String()
}

// A reply is what a client is told.
type reply struct {
	upstream.Reply
	own bool // it is ours, and without its reference yet
}

// theirs is a reply of the upstream.
func theirs(r upstream.Reply) reply { return reply{Reply: r} }

// ownReply makes a reply of a line of the table above. Where it refuses it is
// told with a reference, see session.refer.
func ownReply(line string, args ...any) reply { return newReply(fmt.Appendf(nil, line, args...)) }

func newReply(raw []byte) reply {
	return reply{Reply: upstream.NewReply(raw), own: true}
}

// smtpError hands a reply to the library, which needs it to know whether a
// command went well. The client is told the reply itself, see package wire.
func (r reply) smtpError() error {
	if r.Code < 400 {
		return nil
	}
	return &smtp.SMTPError{Code: r.Code, EnhancedCode: smtp.NoEnhancedCode, Message: r.Text()}
}
