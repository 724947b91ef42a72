// Package upstream is the server's side: getting there, logging in there, and what
// is said there. It knows nothing of clients, of policy or of metrics, whose kinds of
// fault it names.
//
// What holds:
//
//   - Commands go as they are given, byte for byte, and a reply is handed back with
//     its code and text; only control characters in it are made visible.
//   - A reply answers the command that was asked for. What a server says unasked is
//     never taken for one: it has taken leave, or the connection is not to be used
//     any more.
//   - A connection knows how far its transaction has come, by what the server
//     replied, and nobody else keeps an account of that.
//   - A server's certificate is verified, STARTTLS cannot be left out where it is
//     wanted, and what was said before TLS does not count (RFC 3207 section 4.2).
//   - A secret is shown to nobody in the clear, and a token never as a password. One
//     that was refused is tried once more where there is another one, and then by
//     nobody for a while.
//   - A pool has only connections that are between transactions, reset, and with
//     nothing unread. One that was refused something, or is worn, does not come back.
//   - Every wait has an end, and a reply a size.
//   - A connection that is closed in the middle of a message leaves no message there.
//
// dial.go gets there, oldtls.go asks a server that does not agree on TLS what it has,
// and certificate.go says what a certificate says. conn.go speaks to the server,
// pipeline.go several commands at once, and reply.go reads what it says;
// silent_unix.go and silent_other.go ask a socket whether there is something. login.go
// logs in by what sasl.go knows, and advice.go knows what to do where that is refused.
// pool.go keeps connections, and probe.go tries the way for an administrator. fault.go
// says what went wrong.
package upstream
