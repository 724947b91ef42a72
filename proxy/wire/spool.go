package wire

import (
	"errors"
	"io"
	"os"
)

// A Spool holds the body of a message that cannot go on at once, as it came from
// the wire: in memory, and past spoolMemory in a file that has no name.
type Spool struct {
	dir    string
	room   *Share // for memory
	memory []byte
	file   *os.File
}

// spoolMemory is how much of a message is held in memory.
const spoolMemory = 1 << 20

// NewSpool makes one that holds nothing yet. It takes its memory from a budget, and
// makes its file in dir; "" is the system's temporary folder.
func NewSpool(dir string, memory *Budget) *Spool {
	return &Spool{dir: dir, room: NewShare(memory)}
}

// Write appends to what is held. An error is a *SpoolError.
func (s *Spool) Write(b []byte) (int, error) {
	if s.file == nil {
		if len(s.memory)+len(b) <= spoolMemory && s.room.Take(2*len(b)) {
			s.memory = append(s.memory, b...)
			return len(b), nil
		}
		if err := s.spill(); err != nil {
			return 0, &SpoolError{"", err}
		}
	}
	n, err := s.file.Write(b)
	if err != nil {
		err = &SpoolError{"", err}
	}
	return n, err
}

// newSpoolFile makes a file that has no name any more when the first byte is
// written: whatever happens to us, nothing is left of it.
func newSpoolFile(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "sendguard-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// TrySpool makes a file as messages are held in, and lets it go. dir "" is the
// system's temporary folder.
func TrySpool(dir string) error {
	f, err := newSpoolFile(dir)
	if err != nil {
		return err
	}
	return f.Close()
}

// spill goes over to a file, with what is in memory.
func (s *Spool) spill() error {
	f, err := newSpoolFile(s.dir)
	if err != nil {
		return err
	}
	s.file = f
	_, err = f.Write(s.memory)
	s.memory = nil
	s.room.GiveBack()
	return err
}

// CopyTo writes all that is held, in pieces of buf.
func (s *Spool) CopyTo(write func([]byte) error, buf []byte) error {
	if s.file == nil {
		return write(s.memory)
	}
	for at := int64(0); ; {
		n, err := s.file.ReadAt(buf, at)
		if n > 0 {
			if err := write(buf[:n]); err != nil {
				return err
			}
		}
		at += int64(n)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return &SpoolError{"what was held cannot be read again: ", err}
		}
	}
}

// A SpoolError says that a message cannot be held, or what is held not be read again.
type SpoolError struct {
	What string // that went wrong, before the reason
	err  error
}

func (e *SpoolError) Error() string { return e.What + e.err.Error() }

func (e *SpoolError) Unwrap() error { return e.err }

func (s *Spool) Close() {
	if s.file != nil {
		s.file.Close()
	}
	s.memory = nil
	s.room.GiveBack()
}
