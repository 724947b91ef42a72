// Package policy decides whether a message may go out: it reads the header of
// a message, works out whose addresses every recipient would be shown, and
// says what is to be done. It is pure: no network, no clock, no log, and the
// same input always has the same verdict.
//
// What holds, whatever the bytes:
//
//   - Decide is total. Every byte sequence has a verdict, in time and memory
//     that grow linearly with its length.
//   - Never under-count. In the fields that show addresses, whatever a mail
//     client could show as an address counts: in angle brackets or bare, in
//     groups, comments, display names and encoded words, however wrong the
//     list around it is. A header that cannot be read as one is refused,
//     never taken for one without recipients.
//   - Bytes that are not rewritten are not changed. A header is kept as the
//     bytes that came; fields are places in it. A rewrite replaces some of
//     them and leaves every other byte, order and folding included. What it
//     leaves is judged again.
//   - The envelope does not count. Fifty recipients in the envelope with one
//     address in the header is Bcc, the right practice.
//
// header.go finds the fields. address.go scans for addresses, with quoted.go
// and words.go for what is written in another way, and domain.go and
// addressset.go to tell which are the same. exposure.go and organisation.go
// count. policy.go has what a policy says and decide.go what it decides, by the
// values that rules.go finds; override.go, conceal.go and individual.go say which
// bytes go, rewrite.go takes them out, and content.go says when they must stay.
// wrapped.go finds copies of the header in the body. fingerprint.go tells whether
// a message is one that was seen before.
//
// inspect.go counts what a body shows while it streams past, in bounded memory:
// inspectpart.go takes it apart, inspecttype.go says how a part is read,
// inspectdecode.go undoes its encodings, and inspecttext.go and inspecthtml.go
// read it. What cannot be followed within the bounds counts as too many.
package policy
