// Package wire is the client's side of a connection: its lines, its message, and the
// slot for the reply. It stands between the socket and the library that parses
// commands, and mends what that would lose, cut or leak.
//
// What holds:
//
//   - The library is given whole command lines, one at a time, and nothing past a
//     DATA line. Half a line is never a command.
//   - A connection that was closed, failed or timed out is ended. Nothing that is
//     still in its buffers is run, and a client that vanished never looks like one
//     that finished.
//   - Only CRLF.CRLF ends a message (RFC 5321 section 4.1.1.4). Its bytes are handed
//     on as they came, dot-stuffing included; a bare CR or LF is seen on the way.
//   - A message that is behind a DATA which was refused is never run as commands.
//   - A client is told one reply to each command, in order: what the session answers
//     where it agrees with what the library made of the command, and the library's
//     own otherwise. 354 and what comes before it have gone out before the message is
//     read.
//   - Every wait has an end: one deadline for a whole line, so that a trickle does not
//     extend it. A stop ends a wait for a command at once, unless a transaction is
//     open.
//   - What is held beyond a small buffer is taken out of the budget first.
//   - Nothing here knows what a reply says or what a fault is called: the session is
//     asked.
//
// session.go says what a wire asks of whoever speaks over it. wire.go owns what the
// client sends, lines.go cuts it, and replyslot.go is what it is told. message.go finds
// where a message ends, and dotstuffing.go takes dots off and puts them on.
// budget.go is the memory that all sessions share, and spool.go holds a message that
// cannot go on at once.
package wire
