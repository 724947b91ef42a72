// Package users knows who may log in here: the lines name:hash of a file.
//
// What holds:
//
//   - A password is kept nowhere. A hash is argon2id or bcrypt, and asks for no more
//     work than a bound.
//   - A name that is not there takes as long to check as one that is.
//   - Few checks are made at once, and the memory of each is taken out of the budget.
//   - The file is read again when it has changed. Where that fails, its owner says
//     whether what it said before holds.
//   - Who adds a user changes no other line.
//
// users.go reads the file and checks a login, and password.go knows the hashes.
package users
