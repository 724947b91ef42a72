// Package oauth2 gets the tokens with which sendguard logs in at a server that
// takes no password, and keeps what they are got with.
//
// What holds:
//
//   - Kept is the refresh token alone, and only where a person signed in: in the
//     system's keyring, or in a file that nobody else can read or change, which
//     is written whole or not at all.
//   - A token has one owner at a time. Whoever uses the kept one has a lock, and
//     reads it anew under it: of two that refresh the same one, a provider that
//     rotates tokens would take the second for a thief and end both.
//   - A rotated token is kept before the access token that came with it is used.
//   - There is one refresh at a time, before the access token ends, and whoever has
//     one that is good does not wait for it. What the provider refused is not
//     asked again; what failed is, after a pause.
//   - Every wait has a bound: a refresh 30 seconds, a call of the keyring 10, a
//     person 5 minutes.
//   - A sign-in is taken from whoever was asked: state, PKCE with S256, and the
//     issuer where it is told. Nothing of it stands in a list of processes.
//   - No token, code, secret or address, and nothing that a provider says, is part
//     of an error: that would end in a log.
//
// preset.go is the table of providers. client.go asks a provider, assertion.go
// signs what proves who asks, fault.go and entra.go put
// into words what it refuses. login.go
// is how a person signs in: redirect.go asks and takes the answer, browser.go brings it by
// a browser of this machine, device.go by another device; peer_linux.go and
// peer_other.go tell whose browser it is.
// source.go has the token in use and keep.go renews it in time, by both clocks of
// moment.go; store.go, file.go
// and keyring.go are where the refresh token is kept, lock.go is who may use it,
// and owner_unix.go and owner_other.go whose file it is.
package oauth2
