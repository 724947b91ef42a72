// Package unfinished remembers who got a copy of a message that is sent in
// single copies, for as long as the send is unfinished: what went out already
// is not sent again when the client tries again, by this process or another.
//
// What holds:
//
//   - A send is known by its sender, Subject and content: for thirty minutes,
//     and for six days together with its Message-ID. A message that was edited
//     is another one, though mail clients may keep its Message-ID. Each has a
//     record of its own, made when the first copy is noted, and it expires so
//     long after that, whatever comes later: an alert that is sent again and
//     again with the same text is not swallowed for ever. Where one expires
//     while a Send runs, Leave makes it anew of what that Send has noted, and of
//     nothing older.
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
//
// record.go makes the names and hashes. The stores are memory.go, bolt.go and
// redis.go, and state.go finds the one that a configuration names. running.go
// and lease.go keep parts from having the same recipient, within a process and
// among replicas.
package unfinished
