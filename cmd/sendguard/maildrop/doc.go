// Package maildrop stands in for a real account: a small SMTP server that keeps
// what it gets in a Maildir, and a client to send it something.
//
// What holds:
//
//   - It is on 127.0.0.1 alone, takes every message and asks for no login.
//   - A message is in the Maildir whole or not at all, with its envelope in front
//     of it, and stays when the server ends.
//   - What it takes of memory for one message is bounded.
//
// server.go takes and keeps messages, client.go sends one.
package maildrop
