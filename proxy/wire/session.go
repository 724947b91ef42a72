package wire

import (
	"errors"
	"time"
)

// A Session decides what is said over a wire. Its methods are called in the
// library's goroutine.
type Session interface {
	// Begin is what comes before the greeting.
	Begin()
	// Command says what the library is given of a command line; nothing: it is
	// answered already.
	Command(line []byte) []byte
	// Replied hears what the library says to a command, and whether the client is
	// told an answer instead.
	Replied(said []byte, answered bool)
	// Told hears each reply, and reports whether the connection ends with it.
	Told(reply []byte) (ends bool)
	// Why says what the client is told of the reason why the connection ends, or
	// why the library could not answer.
	Why(reason error) []byte
	// Busy reports whether a transaction is open: a stop waits for its end.
	Busy() bool
	// Closed is called when the library is done with the connection, perhaps again.
	Closed()
}

// Limits bound what a client sends.
type Limits struct {
	LineBytes int           // of a command line
	Idle      time.Duration // between commands
	Stall     time.Duration // between bytes of a message, and until it takes a reply
}

// Why a connection ends, besides errors of the network: what the session is asked
// to put into words.
var (
	ErrLineTooLong   = errors.New("command line too long")
	ErrNoMemory      = errors.New("no memory for a long command line")
	ErrStopping      = errors.New("shutting down")
	ErrIdle          = errors.New("no command for too long")
	ErrTooManyErrors = errors.New("too many errors")
	ErrOutOfStep     = errors.New("a message without leave to send it")
	ErrInternal      = errors.New("a mistake of our own")
)
