package config

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"io"
	"os"
	"slices"
)

// A Mark tells one state of a configuration from another. It is made of what the
// files say, not of their times: on network file systems and in containers these
// tell little, and a file that was only touched is the same.
type Mark [sha256.Size]byte

// MarkOf makes the mark of the configuration that Load would read: of its text and
// of every file that the text names and the guard reads. A file that is missing is
// a state like any other, and so is a text with mistakes: what it says as far as it
// can be read names the files.
func MarkOf(named string) Mark {
	sum := sha256.New()
	if path, err := Find(named); err == nil {
		d, c := decoder{file: path}, Default()
		d.decode(markFile(sum, path), &c)
		for _, path := range c.files() {
			if path != "" {
				markFile(sum, d.relative(path))
			}
		}
	}
	return Mark(sum.Sum(nil))
}

// files are those that the configuration names and that the guard reads; what it
// writes to is not among them, or each of its own writes would be a change.
func (c *Config) files() (paths []string) {
	for _, r := range c.Routes {
		u := r.Upstream
		paths = append(paths, r.TLS.Cert, r.TLS.Key, r.UsersFile, u.CAFile, u.PasswordFile, u.OAuth2.ClientSecretFile, u.OAuth2.Certificate, u.OAuth2.Key)
	}
	slices.Sort(paths)
	return slices.Compact(paths) // routes share some
}

// maxMarkedBytes is what counts of one file; the largest, a users file, may have as
// many.
const maxMarkedBytes = 4 << 20

// markFile adds a file to a mark, and returns its text. What is no plain file is not
// opened: to read from a pipe would wait for a writer, and take what it writes from
// whom it is meant for.
func markFile(sum hash.Hash, path string) (text []byte) {
	size := int64(-1) // it cannot be read
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		if f, err := os.Open(path); err == nil {
			text, _ = io.ReadAll(io.LimitReader(f, maxMarkedBytes))
			f.Close()
			size = info.Size()
		}
	}
	binary.Write(sum, binary.BigEndian, [2]int64{size, int64(len(text))}) // where this file ends and the next begins
	sum.Write(text)
	return text
}
