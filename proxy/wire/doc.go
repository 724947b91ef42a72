// Package wire is the client's side of a connection.
package wire
