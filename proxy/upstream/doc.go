// Package upstream is the server's side of a session.
package upstream
