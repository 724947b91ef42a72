// Package mail reads messages: the header as places in its bytes, addresses as
// mail clients show them, encoded words, charsets, domains, media types, transfer
// encodings, and the parts that a message has. It decides nothing, and is pure:
// no network, no clock, no log.
package mail
