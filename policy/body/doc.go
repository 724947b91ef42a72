// Package body counts the addresses that the body of a message shows while it
// streams past. It decides nothing, and is pure: no network, no clock, no log.
//
// What holds, whatever the bytes:
//
//   - Everything counts, quoted or not: whoever forwards or quotes a list shows it.
//     Only what the caller names does not, and what has the form of an address and
//     is none.
//   - A part is read by what its bytes are, whatever its type or name say.
//   - It holds a bounded amount of memory: for what was found it tells how much,
//     and the rest is in what the walk through the message tells.
//   - What can no longer be followed within that counts as too many, never as
//     none.
//   - The count never falls, and the same bytes have the same count, however they
//     are cut.
//   - Nothing runs beside its caller. What is open is ended by Close.
//
// counter.go listens to the walk, hashset.go holds what was found, and recent.go what was
// said of an address a moment ago. content.go
// says how the bytes of a part are read: text.go reads text line by line, html.go HTML,
// xml.go what is else in XML, and ole.go the strings in old files of Office. unpack.go
// has the members of zip and gzip files read like parts; the package container beside
// it unpacks them. search.go looks for what has the form of an address, messageid.go
// tells the names of messages from it, and bareword.go says where a bare word is one.
package body
