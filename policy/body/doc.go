// Package body counts the addresses that the body of a message shows while it
// streams past. It decides nothing, and is pure: no network, no clock, no log.
//
// What holds, whatever the bytes:
//
//   - It holds a bounded amount of memory: for what was found it tells how much,
//     and the rest is in what the walk through the message tells.
//   - What can no longer be followed within that counts as too many, never as
//     none.
//   - The count never falls, and the same bytes have the same count, however they
//     are cut.
//   - No goroutine is begun.
//
// counter.go listens to the walk and says how a part is read, hashset.go holds what
// was found. text.go reads text, with search.go for what is an address in it, and
// html.go HTML. reply.go tells new text from the message that it answers, with
// divider.go for what mail clients write between the two.
package body
