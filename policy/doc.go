// Package policy decides whether a message may go out: it reads the header of
// a message, works out whose addresses every recipient would be shown, and
// says what is to be done. It is pure: no network, no clock, no log, and the
// same input always has the same verdict.
//
// A Judge decides about one message. Its caller feeds it with the header, with
// the body in pieces as far as it wants them, and with the end; it answers with a
// Verdict, which carries the bytes that go on where they are others than came.
//
// What holds, whatever the bytes:
//
//   - A Judge is total. Every byte sequence has a verdict, in time that grows
//     linearly with its length, and in bounded memory: of a body at most MaxBody
//     is held, and what a Judge holds beside that it tells.
//   - How a body is cut into pieces makes no difference. What stands first in a
//     message decides first.
//   - A header is parsed once, and so is each copy of it in the body. What a
//     rewrite leaves is another header: it is judged again.
//   - Never under-count. In the fields that show addresses, whatever a mail
//     client could show as an address counts: in angle brackets or bare, in
//     groups, comments, display names and encoded words, however wrong the
//     list around it is. A header that cannot be read as one is refused,
//     never taken for one without recipients.
//   - Bytes that are not rewritten are not changed. A header is kept as the
//     bytes that came; fields are places in it. A rewrite replaces some of
//     them and leaves every other byte, order and folding included. It leaves a
//     field, so that no body stands where a header is read.
//   - In bodies everything counts, quoted or not, but for the sender's own addresses
//     and those that every recipient sees in the header as it goes out.
//   - The envelope does not count. Fifty recipients in the envelope with one
//     address in the header is Bcc, the right practice.
//   - Nothing runs beside the caller: what unpacks a container is a coroutine that runs
//     while a Judge is fed. Close ends it, on whatever path.
//
// The package mail beside it reads messages, the package body counts what bodies
// show; neither knows of verdicts.
//
// judge.go is fed and asks everything, decide.go decides about what shows in the
// header, and hearing.go about what is heard while the body goes by, with inbody.go
// for its limit and what does not count there, invitation.go for what must not be
// rewritten and newline.go for line ends. verdict.go has what is answered. policy.go
// has what a policy says, limits.go its limits, rules.go and match.go the rules that
// overrule it.
//
// exposure.go and organisation.go count. bcc.go, individual.go and override.go say
// which bytes go, replyto.go which stay for answers; mailbox.go and subject.go read
// the values that they stand in, and rewrite.go takes them out, or says why they
// must stay. fingerprint.go tells
// whether a message is one that was seen before.
package policy
