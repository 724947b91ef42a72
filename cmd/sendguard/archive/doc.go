// Package archive reads the messages that are kept in files: single ones (.eml,
// .emlx), mboxes, Maildirs, and folders of any of these.
//
// What holds:
//
//   - It reads. No file is changed, and nothing is decided about a message.
//   - Every message of a file comes, in order, and its end is found whatever the
//     file holds. The first separator of an mbox says what the others look like.
//   - What a file is, its first bytes say, never its name. One that is no mail is
//     told apart, and none of its bytes are taken for a message.
//   - A header comes as it would on the wire, its lines ended by CRLF, and ends
//     where the guard has it end; one past the guard's limits is an error. A body
//     comes as the file has it.
//   - Of a file are held one header and one piece of a body, however large it is.
//   - Folders are walked without following links to folders, and nothing is read
//     that is no regular file, but what the user named.
//
// files.go lists the files, start.go sees what one is, reader.go takes the
// messages out of it; mbox.go knows where one begins in an mbox, header.go what a
// header looks like; lines.go mends the ends of lines, field.go finds a field in
// a header.
package archive
