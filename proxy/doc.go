// Package proxy relays SMTP between mail clients and their submission servers,
// and lets policy.Decide look at the header of each message on the way.
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
//	header    -->   policy.Decide
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
//     next client may have the same one after RSET. Every refusal of a command and the reply to the end of a message are the
//     upstream's, code and text. Nothing is ever accepted on our own
//     authority, and there is no queue: what the client was not told is sent,
//     was not sent.
//   - Untouched means untouched. A message that passes reaches the upstream
//     byte for byte, dot-stuffing included.
//   - Nothing of a message that is stopped on its header reaches the upstream.
//     A fault of ours or of the way upstream is 4xx; a refusal by policy 5xx.
//   - A message that breaks off is never finished by us: the upstream socket
//     is closed, and the final dot goes out only after the client's own.
//   - A connection that was closed, failed or timed out is ended. Nothing that
//     is still in its buffers is run, and a client that vanished never looks
//     like one that finished.
//   - Memory is bounded: what is held at one time is taken from one budget.
//   - After 354 every reply waits for the client's final dot.
//   - No address, domain, subject or credential is logged or counted.
//
// wire.go owns what the client sends, tell.go what it is told, screen.go which
// commands go on; body.go finds where a message ends. session.go is the
// conversation, auth.go its login, head.go and message.go the passage of one
// message. upstream.go speaks to the server and dial.go gets there, login.go
// logs in there and pool.go keeps the connection. guardlogin.go checks clients
// by users.go and password.go. reply.go has every reply of our own; server.go
// accepts, limits and stops; metrics.go counts, and http.go serves the counts.
package proxy
