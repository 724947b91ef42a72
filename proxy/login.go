package proxy

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
)

// A Login is how sendguard itself logs in at an upstream.
type Login struct {
	Username  string
	Password  string    // or, with the Mechanism for it, an OAuth2 token
	Mechanism Mechanism // nothing else is tried
	// Reread returns the password as it is now. It is called when the upstream
	// has refused the one that is known; nil: it cannot have changed.
	Reread func(context.Context) (string, error)
}

// An account is a Login in use.
type account struct {
	username string
	ways     []mechanism // to log in, the best first
	reread   func(context.Context) (string, error)

	mu        sync.Mutex
	password  string
	readAt    time.Time // when it was last read again
	refusedAt time.Time // when it was last refused
}

func newAccount(l *Login) *account {
	if l == nil {
		return nil
	}
	return &account{username: l.Username, ways: l.Mechanism.ways(), password: l.Password, reread: l.Reread}
}

func (a *account) current() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.password
}

// rereadPause keeps a login that is always refused from running a command for
// each client.
const rereadPause = 10 * time.Second

// renew reads the password again that the upstream refused, once for all sessions.
// The error says that there is no other one, as far as can be known.
func (a *account) renew(ctx context.Context, refused string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.password != refused {
		return nil
	}
	if a.reread == nil || !a.readAt.IsZero() && time.Since(a.readAt) < rereadPause {
		return errLoginRefused
	}
	password, err := a.reread(ctx)
	if outOfDescriptors(err) {
		return errNoDescriptors
	}
	if a.readAt = time.Now(); err != nil || password == refused {
		return errLoginRefused
	}
	a.password = password
	return nil
}

var (
	errLoginRefused = &dialError{kind: faultLogin, text: "it refused the login"}
	errLoginLater   = &dialError{kind: faultLogin, text: "it cannot check the login at this moment"}
	errExchange     = &dialError{kind: faultLogin, text: "its part of the login makes no sense"}
	errNotProven    = &dialError{kind: faultLogin, text: "it did not prove that it knows the password"}
	errInTheClear   = &dialError{kind: faultLogin, text: "the password would travel in the clear"}
)

// dial opens a connection, and logs in where that is sendguard's to do. A
// password that was refused is read again, for it may have been changed.
// The error is a *dialError or a *refusal. opened is called with the socket as
// soon as there is one, so that it can be closed from elsewhere.
func (d *dialer) dial(ctx context.Context, as greeting, opened func(net.Conn)) (*upstream, error) {
	if d.account != nil && d.account.isRefused() {
		return nil, errLoginRefused
	}
	u, err := d.open(ctx, as, opened)
	if err != nil || d.account == nil {
		return u, err
	}
	password := d.account.current()
	err = d.account.logIn(u, password)
	if err == errLoginRefused {
		u.conn.Close() // many servers take one attempt only
		if err = d.account.renew(ctx, password); err == nil {
			if u, err = d.open(ctx, as, opened); err != nil {
				return nil, err
			}
			err = d.account.logIn(u, d.account.current())
		}
	}
	if err != nil {
		u.conn.Close()
		if err == errLoginRefused {
			d.account.refuse()
		}
		return nil, err
	}
	return u, nil
}

// refusedPause is how long nobody tries again after a login was refused: servers
// lock accounts that fail too often.
const refusedPause = 10 * time.Second

func (a *account) refuse() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refusedAt = time.Now()
}

func (a *account) isRefused() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.refusedAt.IsZero() && time.Since(a.refusedAt) < refusedPause
}

// logIn logs in with the best mechanism that the upstream offers. A secret that is
// refused is not tried with another one: it is no better in another form, and
// would be shown to a server that may have asked not to see it.
func (a *account) logIn(u *upstream, secret string) error {
	_, secure := u.conn.(*tls.Conn)
	if remote, ok := u.conn.RemoteAddr().(*net.TCPAddr); !secure && (!ok || !remote.IP.IsLoopback()) {
		return errInTheClear
	}
	offered := u.mechanisms()
	for _, m := range a.ways {
		if slices.Contains(offered, string(m.name)) {
			return u.exchange(m.begin(a.username, secret))
		}
	}
	return noMechanism(a.ways, offered)
}

const (
	maxChallenges = 5
	maxAuthLine   = 512 // with an initial response, RFC 4954 section 4
)

// exchange goes through one login (RFC 4954 section 4).
func (u *upstream) exchange(c sasl.Client) error {
	mechanism, first, err := c.Start()
	if err != nil {
		return errExchange
	}
	line := "AUTH " + mechanism
	if initial := encodeInitial(first); first != nil && len(line)+len(initial) < maxAuthLine-len(" \r\n") {
		line, first = line+" "+initial, nil
	}
	answered := first == nil && strings.Count(line, " ") > 1 // the server has what it asked for
	for range maxChallenges {
		r, err := u.command("auth", []byte(line+"\r\n"))
		switch {
		case err != nil:
			return replyError(err)
		case u.letsIn(r, answered):
			if s, ok := c.(*scramClient); ok && !s.Valid() {
				return errNotProven
			}
			return nil
		case r.code >= 500:
			return errLoginRefused
		case r.code >= 400:
			return errLoginLater
		case r.code != 334:
			return replyError(errProtocol)
		}
		response := first
		if first = nil; response == nil {
			if response, err = answerTo(c, r); err != nil {
				u.command("auth", []byte("*\r\n")) // whatever it says, the connection is closed next
				return err
			}
		}
		line, answered = base64.StdEncoding.EncodeToString(response), true
	}
	return errExchange
}

// letsIn reports whether a reply to a line of an exchange ends it well. That is
// 235 (RFC 4954 section 6); some servers say 250. A stray 250 lets nobody in:
// the server must have been answered, and must have said nothing else.
func (u *upstream) letsIn(r reply, answered bool) bool {
	return r.code == 235 || r.code == 250 && answered && u.unasked() == nil
}

// encodeInitial spells an initial response; an empty one is "=".
func encodeInitial(response []byte) string {
	if len(response) == 0 {
		return "="
	}
	return base64.StdEncoding.EncodeToString(response)
}

// answerTo returns the client's response to a challenge. The error is a
// *dialError.
func answerTo(c sasl.Client, challenge reply) ([]byte, error) {
	text, err := base64.StdEncoding.DecodeString(challenge.text())
	if err != nil {
		text = []byte(challenge.text()) // some ask in words
	}
	response, err := c.Next(text)
	if err != nil && !errors.As(err, new(*dialError)) {
		err = errExchange
	}
	return response, err
}
