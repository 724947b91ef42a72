package proxy

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"
)

// A Login is how sendguard itself logs in at an upstream.
type Login struct {
	Username string
	Password string // or an OAuth token, for an upstream that takes nothing else
	// Reread returns the password as it is now. It is called when the upstream
	// has refused the one that is known; nil: it cannot have changed.
	Reread func(context.Context) (string, error)
}

// An account is a Login in use.
type account struct {
	username string
	reread   func(context.Context) (string, error)

	mu        sync.Mutex
	worked    mechanism // zero: none yet
	password  string
	readAt    time.Time // when it was last read again
	refusedAt time.Time // when it was last refused
}

func newAccount(l *Login) *account {
	if l == nil {
		return nil
	}
	return &account{username: l.Username, password: l.Password, reread: l.Reread}
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
	errNoMechanism  = &dialError{kind: faultLogin, text: "it offers no way to log in that is known here"}
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

// logIn logs in with the strongest mechanism that the upstream offers.
func (a *account) logIn(u *upstream, password string) error {
	_, secure := u.conn.(*tls.Conn)
	if remote, ok := u.conn.RemoteAddr().(*net.TCPAddr); !secure && (!ok || !remote.IP.IsLoopback()) {
		return errInTheClear
	}
	offered := u.mechanisms()
	err, shown := error(errNoMechanism), false // shown: the server has seen the password as it is
	for _, m := range a.preferred() {
		if !slices.Contains(offered, m.name) || err == errLoginRefused && !(m.token && shown) {
			continue // a password that was refused is no better in another form
		}
		shown = m.name == "PLAIN" || m.name == "LOGIN"
		switch tried := u.exchange(m.begin(a.username, password)); {
		case tried == nil:
			a.prefer(m)
			return nil
		case tried != errLoginRefused && err == errLoginRefused:
			return err // it takes one attempt only
		case tried != errLoginRefused:
			return tried
		}
		err = errLoginRefused
	}
	return err
}

// preferred are the mechanisms in the order in which to try them: first the
// one that worked last.
func (a *account) preferred() []mechanism {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.worked.begin == nil {
		return mechanisms
	}
	return append([]mechanism{a.worked}, mechanisms...)
}

func (a *account) prefer(m mechanism) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.worked = m
}

// A mechanism is a way to log in.
type mechanism struct {
	name  string
	token bool // it takes an OAuth token for a password
	begin func(username, password string) sasl.Client
}

// mechanisms are those that are known, the strongest first. Those that take an
// OAuth token come last: nothing says whether a password is one, so they are
// for upstreams that refuse it as a password, or take none.
var mechanisms = []mechanism{
	{"SCRAM-SHA-256", false, newScram},
	{"CRAM-MD5", false, func(username, password string) sasl.Client { return &cramMD5{username, password} }},
	{"PLAIN", false, func(username, password string) sasl.Client { return sasl.NewPlainClient("", username, password) }},
	{"LOGIN", false, func(username, password string) sasl.Client { return &login{answers: []string{username, password}} }},
	{"OAUTHBEARER", true, func(username, token string) sasl.Client { // RFC 7628 section 3.1
		return &bearer{"OAUTHBEARER", "n,a=" + username + ",\x01auth=Bearer " + token + "\x01\x01", "\x01"}
	}},
	{"XOAUTH2", true, func(username, token string) sasl.Client {
		return &bearer{"XOAUTH2", "user=" + username + "\x01auth=Bearer " + token + "\x01\x01", ""}
	}},
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

// A scramClient is SCRAM-SHA-256 (RFC 5802 and 7677).
type scramClient struct{ *scram.ClientConversation }

func newScram(username, password string) sasl.Client {
	c, err := scram.SHA256.NewClient(username, password, "")
	if err != nil { // not to be normalised: some servers take it as it is
		c, _ = scram.SHA256.NewClientUnprepped(username, password, "")
	}
	return &scramClient{c.NewConversation()}
}

func (s *scramClient) Start() (string, []byte, error) {
	first, err := s.Step("")
	return "SCRAM-SHA-256", []byte(first), err
}

// maxIterations bounds the time that an upstream can have us compute.
const maxIterations = 1 << 20

// Next answers the server's first message with a proof. Its last one must be
// a proof, too: that the server knows the password.
func (s *scramClient) Next(challenge []byte) ([]byte, error) {
	text := string(challenge)
	if strings.HasPrefix(text, "e=") { // RFC 5802 section 7: server-error
		return nil, errLoginRefused
	}
	if _, iterations, ok := strings.Cut(text, ",i="); ok {
		iterations, _, _ = strings.Cut(iterations, ",")
		if n, err := strconv.Atoi(iterations); err != nil || n > maxIterations {
			return nil, errExchange
		}
	}
	response, err := s.Step(text)
	if err != nil && strings.HasPrefix(text, "v=") {
		err = errNotProven
	}
	return []byte(response), err
}

// cramMD5 is CRAM-MD5 (RFC 2195).
type cramMD5 struct{ username, password string }

func (c *cramMD5) Start() (string, []byte, error) { return "CRAM-MD5", nil, nil }

func (c *cramMD5) Next(challenge []byte) ([]byte, error) {
	mac := hmac.New(md5.New, []byte(c.password))
	mac.Write(challenge)
	return []byte(c.username + " " + hex.EncodeToString(mac.Sum(nil))), nil
}

// login is LOGIN: two questions, worded as the server likes.
type login struct{ answers []string }

func (l *login) Start() (string, []byte, error) { return "LOGIN", nil, nil }

func (l *login) Next([]byte) ([]byte, error) {
	if len(l.answers) == 0 {
		return nil, errExchange
	}
	answer := l.answers[0]
	l.answers = l.answers[1:]
	return []byte(answer), nil
}

// A bearer gives a token. A challenge says why it was refused, and is
// answered with what lets the server say so.
type bearer struct{ mechanism, token, sorry string }

func (b *bearer) Start() (string, []byte, error) { return b.mechanism, []byte(b.token), nil }
func (b *bearer) Next(_ []byte) ([]byte, error)  { return []byte(b.sorry), nil }
