package upstream

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

	"sendguard/proxy/oauth2"
)

// A Login is how sendguard itself logs in at an upstream.
type Login struct {
	Username  string
	Mechanism Mechanism // nothing else is tried
	Password  string    // or, with the Mechanism for it, an OAuth2 token
	// Reread returns the password as it is now. It is called when the upstream
	// has refused the one that is known; nil: it cannot have changed.
	Reread func(context.Context) (string, error)
	Tokens TokenSource // in place of Password; nil: there is one
}

// A TokenSource has OAuth2 tokens.
type TokenSource interface {
	// Token returns one that is good as far as is known.
	Token(context.Context) (string, error)
	// Refused returns another one than one that the upstream refused.
	Refused(ctx context.Context, token string) (string, error)
	// Keep has a good one ready until ctx ends. told hears how that goes.
	Keep(ctx context.Context, told func(oauth2.Event))
}

// An account is a Login in use.
type account struct {
	username string
	ways     []mechanism // to log in, the best first
	secret   secret

	mu        sync.Mutex
	refusal   *DialError // of the last login
	refusedAt time.Time
}

// A secret is what an account logs in with. Errors are *DialErrors.
type secret interface {
	current(context.Context) (string, error)
	// renew returns another one than one that was refused; errLoginRefused:
	// there is none, as far as can be known.
	renew(ctx context.Context, refused string) (string, error)
}

func newAccount(l *Login) *account {
	if l == nil {
		return nil
	}
	a := &account{username: l.Username, ways: l.Mechanism.ways(), secret: &password{known: l.Password, reread: l.Reread}}
	if l.Tokens != nil {
		a.secret = &token{l.Tokens}
	}
	return a
}

// A password is read again when it was refused: it may have been changed.
type password struct {
	reread func(context.Context) (string, error)

	mu     sync.Mutex
	known  string
	readAt time.Time // when it was last read again
}

func (p *password) current(context.Context) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known, nil
}

// rereadPause keeps a login that is always refused from running a command for
// each client.
const rereadPause = 10 * time.Second

// renew reads the password again. Of many sessions only the first reads.
func (p *password) renew(ctx context.Context, refused string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known != refused {
		return p.known, nil
	}
	if p.reread == nil || !p.readAt.IsZero() && time.Since(p.readAt) < rereadPause {
		return "", ErrLoginRefused
	}
	again, err := p.reread(ctx)
	if OutOfDescriptors(err) {
		return "", ErrNoDescriptors
	}
	if p.readAt = time.Now(); err != nil || again == refused {
		return "", ErrLoginRefused
	}
	p.known = again
	return again, nil
}

// A token is got anew when it was refused.
type token struct{ TokenSource }

func (t *token) current(ctx context.Context) (string, error) {
	current, err := t.Token(ctx)
	return current, tokenError(err)
}

func (t *token) renew(ctx context.Context, refused string) (string, error) {
	other, err := t.Refused(ctx, refused)
	if errors.Is(err, oauth2.ErrNoOther) {
		return "", ErrLoginRefused
	}
	return other, tokenError(err)
}

// tokenError says why there is no token. The source's words have no secret and no
// address in them.
func tokenError(err error) error {
	switch {
	case err == nil:
		return nil
	case OutOfDescriptors(err):
		return ErrNoDescriptors
	}
	return &DialError{Kind: KindToken, text: err.Error()}
}

var (
	ErrLoginRefused = &DialError{Kind: KindLogin, text: "it refused the login"}
	errLoginLater   = &DialError{Kind: KindLogin, text: "it cannot check the login at this moment"}
	errExchange     = &DialError{Kind: KindLogin, text: "its part of the login makes no sense"}
	errNotProven    = &DialError{Kind: KindLogin, text: "it did not prove that it knows the password"}
	errInTheClear   = &DialError{Kind: KindLogin, text: "the password would travel in the clear"}
)

// refusedWith is errLoginRefused with what the upstream said, unless that repeats
// the secret, and what to do about it where that is known.
func refusedWith(r Reply, secret string) *DialError {
	code, words := r.Enhanced()
	if shows(r.Text(), secret) {
		words = "its words repeat the secret"
	}
	detail := code
	if advice := Advise(r); advice != "" {
		detail += ": " + advice
	}
	return &DialError{Kind: KindLogin, text: ErrLoginRefused.text, detail: detail, said: code + " " + words}
}

// Dial opens a connection, and logs in where that is sendguard's to do. Where the
// secret was refused and there is another one by now, that is tried, once. The error
// is a *DialError or a *Refusal. opened is called with the socket as soon as there is
// one, so that it can be closed from elsewhere.
func (d *Dialer) Dial(ctx context.Context, as Greeting, opened func(net.Conn)) (*Conn, error) {
	if d.account == nil {
		return d.open(ctx, as, opened)
	}
	if refusal := d.account.refused(); refusal != nil {
		return nil, refusal
	}
	secret, err := d.account.secret.current(ctx)
	if err != nil {
		return nil, err
	}
	u, err := d.openAs(ctx, secret, as, opened)
	if !errors.Is(err, ErrLoginRefused) {
		return u, err
	}
	refusal := err
	if secret, err = d.account.secret.renew(ctx, secret); err == nil {
		u, err = d.openAs(ctx, secret, as, opened)
		refusal = err
	}
	if errors.Is(err, ErrLoginRefused) {
		d.account.refuse(refusal)
		return nil, refusal
	}
	return u, err
}

// openAs opens a connection and logs in. Where that is refused it is closed: many
// servers take one attempt only.
func (d *Dialer) openAs(ctx context.Context, secret string, as Greeting, opened func(net.Conn)) (*Conn, error) {
	u, err := d.open(ctx, as, opened)
	if err != nil {
		return nil, err
	}
	if err := d.account.logIn(u, secret); err != nil {
		u.conn.Close()
		return nil, err
	}
	return u, nil
}

// refusedPause is how long nobody tries again after a login was refused: servers
// lock accounts that fail too often.
const refusedPause = 10 * time.Second

func (a *account) refuse(refusal error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refusedAt, a.refusal = time.Now(), ErrLoginRefused
	errors.As(refusal, &a.refusal)
}

// refused returns how a login was refused a moment ago.
func (a *account) refused() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refusal == nil || time.Since(a.refusedAt) >= refusedPause {
		return nil
	}
	return a.refusal
}

// logIn logs in with the best mechanism that the upstream offers. A secret that is
// refused is not tried with another one: it is no better in another form, and
// would be shown to a server that may have asked not to see it.
func (a *account) logIn(u *Conn, secret string) error {
	_, secure := u.conn.(*tls.Conn)
	if remote, ok := u.conn.RemoteAddr().(*net.TCPAddr); !secure && (!ok || !remote.IP.IsLoopback()) {
		return errInTheClear
	}
	offered := u.Mechanisms()
	for _, m := range a.ways {
		if slices.Contains(offered, string(m.name)) {
			return u.exchange(m.begin(a.username, secret), secret)
		}
	}
	return noMechanism(a.ways, offered)
}

const (
	maxChallenges = 5
	maxAuthLine   = 512 // with an initial response, RFC 4954 section 4
)

// exchange goes through one login (RFC 4954 section 4) with a secret.
func (u *Conn) exchange(c sasl.Client, secret string) error {
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
		r, err := u.Command("auth", []byte(line+"\r\n"))
		switch {
		case err != nil:
			return replyError(err)
		case u.LetsIn(r, answered):
			if s, ok := c.(*scramClient); ok && !s.Valid() {
				return errNotProven
			}
			return nil
		case r.Code >= 500:
			return refusedWith(r, secret)
		case r.Code >= 400:
			return errLoginLater
		case r.Code != 334:
			return replyError(ErrProtocol)
		}
		response := first
		if first = nil; response == nil {
			if response, err = answerTo(c, r); err != nil {
				u.Command("auth", []byte("*\r\n")) // whatever it says, the connection is closed next
				return err
			}
		}
		line, answered = base64.StdEncoding.EncodeToString(response), true
	}
	return errExchange
}

// LetsIn reports whether a reply to a line of an exchange ends it well. That is
// 235 (RFC 4954 section 6); some servers say 250. A stray 250 lets nobody in:
// the server must have been answered, and must have said nothing else.
func (u *Conn) LetsIn(r Reply, answered bool) bool {
	return r.Code == 235 || r.Code == 250 && answered && u.unasked() == nil
}

// encodeInitial spells an initial response; an empty one is "=".
func encodeInitial(response []byte) string {
	if len(response) == 0 {
		return "="
	}
	return base64.StdEncoding.EncodeToString(response)
}

// answerTo returns the client's response to a challenge. The error is a
// *DialError.
func answerTo(c sasl.Client, challenge Reply) ([]byte, error) {
	text, err := base64.StdEncoding.DecodeString(challenge.Text())
	if err != nil {
		text = []byte(challenge.Text()) // some ask in words
	}
	response, err := c.Next(text)
	if err != nil && !errors.As(err, new(*DialError)) {
		err = errExchange
	}
	return response, err
}
