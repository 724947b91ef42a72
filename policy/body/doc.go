// Package body counts the addresses that the body of a message shows while it
// streams past, in bounded memory. What it can no longer follow within that
// counts as too many, never as none. It decides nothing, and is pure: no network,
// no clock, no log.
package body
