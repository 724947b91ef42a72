//go:build container

package main

// The image has no root certificates but these. They are in no other build: where a
// system has a store of its own, what is trusted is for that system to say, also
// when the answer is nobody.
import _ "golang.org/x/crypto/x509roots/fallback"
