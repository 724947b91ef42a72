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
// The rooms: package wire is the client's side of a connection, package upstream the
// server's, with package oauth2 for the tokens of who logs in so. Package users knows
// who may log in here, and package unfinished who has a copy already. None of them
// knows another, but for upstream, which says what it wants of tokens; this package
// has them do what a session needs.
//
// The way of one message, hop by hop:
//
//	listen.go         opens where clients come
//	accept.go         takes the connection
//	admit.go          lets it in, or turns it away; reads a PROXY header
//	clienttls.go      encrypts it
//	server.go         has the library serve it, over a wire.Wire
//	commandfilter.go  says what the library is given of each line
//	session.go        EHLO, by connect.go: an upstream.Conn, kept or dialled
//	announce.go       offers what both sides can do
//	relayedlogin.go   AUTH, line by line upstream, or loginhere.go by package users
//	session.go        MAIL and RCPT, as they came
//	message.go        DATA: takes a wire.Message
//	readheader.go     its header, bounded
//	judging.go        feeds policy.Judge, which says what becomes of it
//	message.go        sends it on piece by piece, or
//	held.go           holds the whole, where only that decides, and
//	individual.go     sends a copy to each recipient
//	session.go        tells the upstream's last word, and resets
//
// idle.go is what is said between messages. Every reply of our own is in reply.go;
// an error becomes one in errorreply.go. event.go has the line in the log that a
// reference leads to, fault.go what can go wrong in a session and in which words, and
// reason.go what is wrong without naming what the log must not. server.go starts and
// stops, reload.go puts a configuration in force, and tokens.go keeps tokens going.
// metrics.go counts, and http.go serves the counts. descriptors.go shares out file
// descriptors, of which descriptors_unix.go and descriptors_other.go know how many
// there are.
package proxy
