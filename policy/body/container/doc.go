// Package container unpacks zip files (APPNOTE.TXT) and gzip files (RFC 1952) as they
// stream past, and has what is in them read: a spreadsheet or a document is a zip file.
// It knows nothing of addresses, and is pure: no network, no clock, no log.
//
// What holds, whatever the bytes:
//
//   - No byte is skipped but the data of encrypted members: what does not parse is
//     read as text.
//   - Bounds hold for all containers of a message together, in bytes and members,
//     never in time. Where one is crossed nothing more is read, at the same place in
//     the same message, however it was cut into pieces.
//   - An open container holds a bounded amount of memory, and its caller was asked
//     before.
//   - Nothing runs beside its caller. What has to pull its input is a coroutine
//     (iter.Pull), which runs while a piece is written to it and at no other time, and
//     ends with Close: that of the container, or that of the Bounds.
//
// bounds.go counts what containers cost and what was in them, and unpacker.go joins
// what is pushed to what pulls. gzip.go reads gzip files. zip.go looks for zip files
// and reads their members, header.go what stands before each, and unsized.go those
// whose length is not known.
package container
