// Package config makes a configuration file into ready values for policy and
// proxy.
//
// What holds:
//
//   - It alone knows YAML. What it gives out is checked; a command that gets no
//     error has nothing left to check.
//   - Reading is strict: an unknown key, a key that is there twice and a value that
//     makes no sense are errors with file, line and key, and all of them are told
//     at once.
//   - Values come from the environment after parsing, so that no variable can add
//     a key. Paths are resolved against the folder of the file.
//   - What makes an open door is refused here: a listener that others can reach
//     without allow, TLS or a login, mail in the clear to an upstream elsewhere.
//   - No secret is printed, and none is in an error.
//   - Checking changes nothing and runs no command; making the routes does run the
//     one that prints a password, for a bounded time.
//
// config.go is what the file may say, its defaults, and what is made of it;
// decode.go reads the YAML, validate.go and listen.go check what it says, the
// latter of the listeners; secret.go fetches passwords.
package config
