package oauth2

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// A Store keeps one refresh token. All but Check and Stamp want the lock.
type Store interface {
	// Load returns the token; errNoToken: there is none.
	Load(ctx context.Context) (string, error)
	Save(ctx context.Context, token string) error
	// Forget is no error where there is none.
	Forget(ctx context.Context) error
	// Lock keeps others out who would use the token, until unlock.
	Lock(ctx context.Context) (unlock func(), err error)
	// Stamp is another one when somebody has saved or forgotten. It is cheap.
	Stamp() string
	// Check is an error where a token could not be kept. It changes nothing.
	Check() error
}

var errNoToken = errors.New("no token")

// maxToken bounds what is read as one; Microsoft's have about 2,000 bytes.
const maxToken = 64 << 10

// FilePrefix is that of a store that is a file.
const FilePrefix = "file:"

// Keyring is the store that the system has for each user.
const Keyring = "keyring"

// OpenStore makes the store that a configuration names, for a client's token for a
// mailbox. Nothing is read or written yet.
func OpenStore(name string, p Provider, client, mailbox string) (Store, error) {
	if path, ok := strings.CutPrefix(name, FilePrefix); ok && path != "" {
		return &fileStore{path}, nil
	}
	if name != Keyring {
		return nil, fmt.Errorf("want %s, or %sPATH", Keyring, FilePrefix)
	}
	host := p.TokenURL
	if u, err := url.Parse(p.TokenURL); err == nil {
		host = u.Host
	}
	account := mailbox + " at " + host + " for " + client
	sum := sha256.Sum256([]byte(account))
	dir, err := runtimeFolder()
	if err != nil {
		return nil, err
	}
	return &keyringStore{account: account, lock: filepath.Join(dir, hex.EncodeToString(sum[:8])+".lock")}, nil
}

// runtimeFolder is the same for all processes of a user, whatever started them.
func runtimeFolder() (string, error) {
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if usual := fmt.Sprintf("/run/user/%d", os.Getuid()); dir == "" {
		if _, err := os.Stat(usual); err == nil {
			dir = usual
		}
	}
	if dir == "" {
		var err error
		if dir, err = os.UserCacheDir(); err != nil {
			return "", fmt.Errorf("no folder for the lock of the keyring: %w", err)
		}
	}
	return filepath.Join(dir, "sendguard"), nil
}
