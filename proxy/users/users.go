package users

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"
)

// A Users is the users_file of a route: who may send through it. A line is
// name:hash; empty ones and those that begin with # do not count. The file is
// read again when it has changed.
type Users struct {
	path   string
	Checks *Checks
	// unread is called where the file was changed and cannot be read, and says
	// whether what it said before holds.
	unread func(error) bool

	mu     sync.Mutex
	hashes map[string]*passwordHash
	decoy  *passwordHash // checked for a name that is not there
	seen   os.FileInfo   // what they are from
}

const (
	maxUsersBytes = 4 << 20
	checkWait     = 20 * time.Second // for one's turn
)

// A budget of memory, for the checks of passwords.
type Memory interface {
	Take(n int) bool // reports false where there is not so much
	Give(n int)
}

// A Checks is what all checks of passwords share.
type Checks struct {
	turns  chan struct{}
	memory Memory
}

// maxChecks is how many are made at once: one takes tens of MB and all of a
// processor.
const maxChecks = 2

func NewChecks(memory Memory) *Checks {
	return &Checks{turns: make(chan struct{}, maxChecks), memory: memory}
}

// Open returns the users of a file. unread is called where the file was changed
// and cannot be read, and says whether what it said before holds. Where it cannot be
// read now, that is the error, and it is read when somebody logs in.
func Open(path string, checks *Checks, unread func(error) bool) (*Users, error) {
	u := &Users{path: path, Checks: checks, unread: unread}
	return u, u.refresh()
}

// CheckFile reads a users file and says what is wrong with it, and in
// which line.
func CheckFile(path string) error {
	_, _, err := readUsers(path)
	return err
}

func readUsers(path string) (hashes map[string]*passwordHash, decoy *passwordHash, err error) {
	text, err := ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	hashes = map[string]*passwordHash{}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		name, hash, _ := cutUser(line)
		if name == "" && hash == "" {
			continue
		}
		if err := checkUserName(name); err != nil {
			return nil, nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		h, err := parseHash(hash)
		if err != nil {
			return nil, nil, fmt.Errorf("%s:%d: the hash %w", path, n, err)
		}
		if hashes[name] != nil {
			return nil, nil, fmt.Errorf("%s:%d: the name is there twice", path, n)
		}
		hashes[name] = h
		decoy = cmp.Or(decoy, h)
	}
	return hashes, decoy, nil
}

// ReadFile returns the text of a users file, where it is not too large.
func ReadFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxUsersBytes {
		return nil, fmt.Errorf("%s is too large", path)
	}
	return os.ReadFile(path)
}

// cutUser takes a line apart; a comment has no parts.
func cutUser(line string) (name, hash string, ok bool) {
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "#") {
		return "", "", false
	}
	return strings.Cut(line, ":")
}

func checkUserName(name string) error {
	switch {
	case name == "":
		return errors.New("a line is name:hash")
	case name[0] == '#' || strings.ContainsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == ':' || r == '\ufeff' }):
		return errors.New("a name cannot have blanks, a colon, or # at its start")
	}
	return nil
}

// refresh reads the file if it is another one than before.
func (u *Users) refresh() error {
	info, err := os.Stat(u.path)
	if err != nil || u.hasRead(info) {
		return err
	}
	hashes, decoy, err := readUsers(u.path)
	if err == nil {
		u.hashes, u.decoy, u.seen = hashes, decoy, info
	}
	return err
}

// hasRead reports whether a file is what the users are from.
func (u *Users) hasRead(now os.FileInfo) bool {
	return u.seen != nil && os.SameFile(now, u.seen) && now.Size() == u.seen.Size() && now.ModTime().Equal(u.seen.ModTime())
}

// lookup returns what to check a password with. For a name that is not there
// it is another one's hash, so that the time tells nothing.
func (u *Users) lookup(name string) (h *passwordHash, known bool, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.refresh(); err != nil && !u.unread(err) {
		return nil, false, err
	}
	if h, known = u.hashes[name]; !known {
		h = u.decoy
	}
	if h == nil {
		return nil, false, ErrNoUsers
	}
	return h, known, nil
}

// Why it cannot be known now whether a password is right.
var (
	ErrTooManyChecks = errors.New("too many logins at once")
	ErrNoUsers       = errors.New("no user is known")
)

// Check reports whether a password is that of a user. An error says that this
// cannot be known now.
func (u *Users) Check(ctx context.Context, name, password string) (bool, error) {
	h, known, err := u.lookup(name)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, checkWait)
	defer cancel()
	select {
	case u.Checks.turns <- struct{}{}:
	case <-ctx.Done():
		return false, ErrTooManyChecks
	}
	defer func() { <-u.Checks.turns }()
	if !u.Checks.memory.Take(h.bytes()) {
		return false, ErrTooManyChecks
	}
	defer u.Checks.memory.Give(h.bytes())
	return h.matches(password) && known, nil
}

// WithUser returns the text of a users file with a user added, or with another
// password for one who is there. The other lines stay as they are.
func WithUser(text []byte, name, password string) ([]byte, error) {
	if err := checkUserName(name); err != nil {
		return nil, err
	}
	if password == "" {
		return nil, errors.New("the password is empty")
	}
	line := name + ":" + newHash(password) + "\n"
	var b bytes.Buffer
	for l := range strings.Lines(string(text)) {
		if n, _, ok := cutUser(l); ok && n == name {
			l, line = line, ""
		}
		b.WriteString(strings.TrimSuffix(l, "\n"))
		if l != "" {
			b.WriteByte('\n')
		}
	}
	b.WriteString(line)
	return b.Bytes(), nil
}
