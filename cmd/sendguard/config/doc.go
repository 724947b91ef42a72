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
//   - No secret is printed, and none is in an error. What goes to a log has no
//     value of the file at all, see Mistake.
//   - Checking changes nothing and runs no command; making the routes does run the
//     one that prints a password, for a bounded time.
//
// config.go is what the file may say, and its defaults; values.go are the values
// that have a spelling of their own. load.go finds and prints it, decode.go reads
// the YAML. validate.go checks what it says, listen.go of listeners, upstream.go
// of upstreams, oauth2.go of tokens in place of a password, address.go of what is
// host:port, mistake.go says what is wrong. try.go tries what will be written to,
// warn.go looks who else can read it, mark.go tells whether it has changed. ready.go makes what policy and proxy take,
// secret.go fetches the passwords for it.
package config
