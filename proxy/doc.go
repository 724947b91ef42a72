// Package proxy relays SMTP between mail clients and their submission servers,
// and has a policy.Judge decide about each message on the way.
//
// The way of one message:
//
//	client          sendguard                            upstream
//	EHLO      -->   dial, EHLO, STARTTLS, EHLO     -->
//	          <--   what both sides can do         <--
//	AUTH      -->   line by line                   -->
//	MAIL      -->   as it came                     -->
//	RCPT      -->   as it came                     -->
//	DATA      -->
//	          <--   354
//	header    -->   policy.Judge
//	                 stop: read the rest, RSET     -->
//	          <--         the refusal
//	                 pass: DATA                    -->
//	                       header                  -->
//	body      -->          as it comes, in pieces  -->
//	.         -->          .                       -->
//	          <--          the upstream's last word <--
//
// What holds:
//
//   - Lockstep. Each client connection has a connection upstream to itself, as
//     long as it lasts; where the client's own login does not go upstream, the
//     next client may have the same one after RSET. Every refusal of a command
//     and the reply to the end of a message are the upstream's, code and text;
//     so are its goodbye, whatever its code, and the replies to RSET, NOOP and
//     another EHLO, by which a client learns whether there is still a server.
//     Nothing is ever accepted on our own authority, and there is no queue: what
//     the client was not told is sent, was not sent.
//   - Untouched means untouched. A message that passes reaches the upstream
//     byte for byte, dot-stuffing included.
//   - Nothing of a message that is stopped on its header reaches the upstream.
//     One that is stopped on its body is never finished there.
//     A fault of ours or of the way upstream is 4xx; a refusal by policy 5xx.
//   - A message that breaks off is never finished by us: the upstream socket
//     is closed, and the final dot goes out only after the client's own.
//   - A connection that was closed, failed or timed out is ended. Nothing that
//     is still in its buffers is run, and a client that vanished never looks
//     like one that finished.
//   - The action individual answers for several transactions: it takes the whole
//     message, resets the client's, and sends a copy to each recipient in one of
//     its own. 250 says that each has one. What went out of a send that was not
//     finished is remembered, and the client's next try sends the rest: only a
//     copy whose final dot was sent and whose reply was never read can arrive
//     twice (RFC 1047).
//   - Memory is bounded: what is held at one time is taken from one budget. So are
//     file descriptors, by the number of sessions. A fault of our own is told and
//     counted as that, and blamed neither on the client nor on the upstream.
//   - A configuration is in force as a whole. Another one takes its place without
//     a refused connection: a session keeps what it began with, a transaction
//     the policy of its MAIL.
//   - After 354 every reply waits for the client's final dot.
//   - No open door. Who may not come in hears so and no more; where a login is
//     due, no MAIL goes upstream before it; where TLS is due, nothing does.
//     The upstream's certificate is verified, and no upstream can leave STARTTLS
//     out where it is wanted.
//   - No address, domain, subject or credential is logged or counted.
//
// wire.go owns what the client sends, replyslot.go what it is told, commandfilter.go which
// commands go on; body.go finds where a message ends. session.go is the
// conversation, announce.go what the client is offered in it, idle.go what is said
// between messages, relayedlogin.go its login; readheader.go, message.go and judging.go, which feeds
// the judge, are the passage of one message.
// individual.go sends copies, held.go and spool.go hold the message
// for them, pipeline.go begins their transactions, and the package unfinished
// remembers who has one. upstream.go speaks to the server, whose replies dialreply.go reads, and dial.go gets there; dialfault.go says why not, and connect.go does it for a session;
// login.go logs in there by what sasl.go knows, advice.go knows what to do where
// that is refused, and pool.go keeps the connection. The package oauth2 has the
// tokens of who logs in so, and tokens.go keeps it going. listen.go opens where
// clients come, accept.go accepts them there, admit.go lets them in, clienttls.go
// encrypts their side, and loginhere.go checks who they are by users.go and
// password.go. reply.go has every reply of our own; server.go starts and stops,
// reload.go puts a configuration in force; metrics.go counts, and http.go serves
// the counts. oldtls.go asks an upstream that does not agree on TLS what it has,
// descriptors.go and budget.go share out file descriptors and memory, silent_unix.go
// asks a socket whether the upstream has said something, and probe.go tries the way
// there for an administrator. event.go has the line in the log that a reference
// leads to: faultwords.go says what happened, certificate.go what a certificate
// says, and reason.go what is wrong without naming what the log must not.
package proxy
