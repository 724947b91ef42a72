package users

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// A passwordHash is argon2id in PHC form, or bcrypt.
type passwordHash struct {
	bcrypt []byte // nil: the rest is argon2id

	memory, time uint32 // memory in KiB
	threads      uint8
	salt, key    []byte
}

// What a hash may ask for: it is computed for whoever says a name and a
// password.
const (
	maxHashMemory = 128 << 10 // KiB
	maxHashTime   = 16
	maxHashBytes  = 64 // of salt and key
	maxBcryptCost = 14
	bcryptLimit   = 72 // bytes of a password that bcrypt looks at
)

var errHash = errors.New("is neither argon2id ($argon2id$v=19$…) nor bcrypt ($2b$…, $2y$…)")

// parseHash reads a hash, and bounds what it takes to check a password.
func parseHash(s string) (*passwordHash, error) {
	if strings.HasPrefix(s, "$2") {
		cost, err := bcrypt.Cost([]byte(s))
		switch {
		case err != nil:
			return nil, errHash
		case cost > maxBcryptCost:
			return nil, fmt.Errorf("asks for too much work (bcrypt cost up to %d)", maxBcryptCost)
		}
		return &passwordHash{bcrypt: []byte(s)}, nil
	}
	parts := strings.Split(s, "$") // "", argon2id, v=19, m=,t=,p=, salt, key
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprint("v=", argon2.Version) {
		return nil, errHash
	}
	h := &passwordHash{}
	var rest string
	if n, _ := fmt.Sscanf(parts[3]+" end", "m=%d,t=%d,p=%d %s", &h.memory, &h.time, &h.threads, &rest); n != 4 || rest != "end" {
		return nil, errHash
	}
	var errSalt, errKey error
	h.salt, errSalt = base64.RawStdEncoding.DecodeString(parts[4])
	h.key, errKey = base64.RawStdEncoding.DecodeString(parts[5])
	switch {
	case errSalt != nil || errKey != nil || len(h.salt) < 8 || len(h.key) < 16 || len(h.salt) > maxHashBytes || len(h.key) > maxHashBytes:
		return nil, errHash
	case h.time < 1 || h.threads < 1 || h.memory < 8*uint32(h.threads): // RFC 9106 section 3.1
		return nil, errHash
	case h.memory > maxHashMemory || h.time > maxHashTime:
		return nil, fmt.Errorf("asks for too much work (argon2id up to m=%d, t=%d)", maxHashMemory, maxHashTime)
	}
	return h, nil
}

// bytes is the memory that a check takes.
func (h *passwordHash) bytes() int { return int(h.memory) << 10 }

// matches checks a password.
func (h *passwordHash) matches(password string) bool {
	if h.bcrypt != nil {
		return len(password) <= bcryptLimit && bcrypt.CompareHashAndPassword(h.bcrypt, []byte(password)) == nil
	}
	key := argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.threads, uint32(len(h.key)))
	return subtle.ConstantTimeCompare(key, h.key) == 1
}

// newHash hashes a password with argon2id: 19 MiB, two passes.
func newHash(password string) string {
	const memory, time, threads = 19 << 10, 2, 1
	salt := make([]byte, 16)
	rand.Read(salt)
	key := argon2.IDKey([]byte(password), salt, time, memory, threads, 32)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memory, time, threads, b64(salt), b64(key))
}
