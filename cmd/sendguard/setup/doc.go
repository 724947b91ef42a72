// Package setup knows what a person would have to look up to set sendguard up: the
// servers of mail providers, where mail programs keep what was sent, what a
// configuration looks like, and what a mail program is to be told.
//
// What holds:
//
//   - Nothing is written and no mail is sent. What asks the network asks the DNS
//     alone, for a bounded time, and who calls shows the answer before it is trusted.
//   - A question is one line to read and one to type, without colours, cursor
//     movements or redrawing: it reads the same on a screen, in a screen reader, in a
//     log and on a terminal that can do nothing.
//   - Each question has a flag. Where nobody can be asked, all flags that are missing
//     are told at once, and none is guessed.
//   - A secret is typed unseen, and is in no configuration: that names the file.
//
// question.go asks, preset.go has the table of providers, lookup.go asks the DNS,
// sent.go finds folders with sent mail, draft.go writes the configuration, client.go
// has the settings of mail programs, remedy.go what to do where there is no connection.
package setup
