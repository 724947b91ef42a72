// Package unfinished remembers who got a copy of a message that is sent in
// single copies, for as long as the send is unfinished: what went out already
// is not sent again when the client tries again, by this process or another.
//
// What holds:
//
//   - A send is known by its sender, Subject and content: for thirty minutes,
//     and for six days together with its Message-ID. A message that was edited
//     is another one, though mail clients may keep its Message-ID. Each has a
//     record of its own, made before the first copy, and it expires so long after
//     that, whatever comes later: an alert that is sent again and again with the
//     same text is not swallowed for ever. Where one expires while a Send runs,
//     Leave makes it anew of what that Send has noted, and of nothing older.
//   - Nothing is sent that could not be noted. Begin writes all recipients that
//     have no copy into both records as due, durably, and makes sure of the room
//     that the Send will need; where that fails, it does not begin. To note a copy
//     is to take the recipient from those that are due, which needs no room: in a
//     redis it is a removal, in the file an overwrite in pages that are on the
//     disk already. To end the Send, well or not, needs none either. Only where a
//     record has vanished since Begin must a note make it anew.
//   - An intent is never taken for a copy. Has a copy who stands in a record and
//     is not due there. Both stand in one value or one key, are written in one
//     step, and so are lost together: what is lost of a store, by a crash, an
//     expiry, an eviction or a flush, can have a recipient get a second copy, and
//     never none. A process that is killed between a copy and its note doubles
//     that one copy (RFC 1047); so does a note that fails for good.
//   - A send that all its recipients have is known by its Message-ID alone: the note
//     of the last copy forgets the content in the same step. Whatever happens to the
//     process or the store behind that, no message with this text is swallowed.
//   - A recipient that no record has is to be served, whoever else of the message
//     has been: mail servers group anew who is left.
//   - A send may run in parts, each for some of the recipients: a mail server
//     splits one of 120 into three and sends them at the same time. The parts
//     share the records, and what ends one of them, well or not, changes
//     nothing that another has noted.
//   - No recipient is in two parts that run. Whoever begins with one that is in
//     another, here or at another replica, is told ErrRunning, until that part
//     ends or its replica has been dead for 30 s.
//   - What Accepted noted without an error survives the process, except in
//     the store that is memory alone.
//   - No address, Message-ID, subject or content is stored, only keyed hashes.
//     Those of recipients take in what the record is named after: whoever has
//     the whole store, its key included, cannot try addresses on it without
//     knowing the Message-ID or the content.
//   - Memory and file are bounded: past the bound nothing new begins, but what
//     is unfinished can be finished.
//   - What an earlier version stored is read: it had no recipients that are due,
//     and added those that have a copy. It does not find what this one stores,
//     and so takes nobody who is due for served.
//
// unfinished.go is a send, and record.go makes the names and hashes. The stores are
// memory.go, bolt.go and redis.go, and state.go finds the one that a configuration
// names; try.go tries whether it can be written to, with try_unix.go and try_other.go
// for folders. entry.go is a record in memory and file, pieces.go how it stands in the
// file, and room.go the room that is kept there. running.go and lease.go keep parts
// from having the same recipient, within a process and among replicas.
package unfinished
