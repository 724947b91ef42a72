// Package mail reads messages. It decides nothing, has no limits but those of its
// memory, and is pure: no network, no clock, no log.
//
// What holds, whatever the bytes:
//
//   - A header is the bytes that came, and fields are places in them. It is never
//     serialised.
//   - Everything reads in time that grows linearly with its length. A Walk holds a
//     bounded amount of memory, which it tells, whatever the message.
//   - Only this package knows boundaries, media types, transfer encodings and
//     charsets, with the wrong spellings that mail clients understand.
//   - The same bytes have the same parts, however they are cut.
//
// header.go finds the fields and field.go names them, with applicationfield.go
// for what applications make of Bcc; dkim.go says which are signed. address.go
// scans a value for addresses, addressdomain.go for their domains, and
// straymark.go for what stands wrongly beside an @, with quoted.go and
// encodedword.go for what is written in another way and charset.go for its
// letters by the names of charsetname.go. doublebyte.go tells the bytes of
// characters from an @, and wideat.go has what is typed for one. domain.go and
// localpart.go say what is the same address, and addressset.go holds distinct
// ones.
//
// part.go says what the header of a part says about its content, with mediatype.go
// for the values of its fields. walk.go goes through all parts of a message as it
// streams past, by the lines that lines.go cuts, and listener.go tells of them;
// transfer.go undoes transfer encodings, and vcard.go what else vCards have of them. firstparts.go follows every way in which a
// mail client may find the first part, for the copies of a header.
package mail
