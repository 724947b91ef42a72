package upstream

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"
)

// A Mechanism is the name of a SASL mechanism, or one of a kind.
type Mechanism string

const (
	AnyPassword Mechanism = ""      // the strongest that is offered and takes a password
	AnyToken    Mechanism = "token" // one that takes an OAuth2 token
)

// A mechanism is a way to log in.
type mechanism struct {
	name  Mechanism
	token bool // what it gives is an OAuth2 token, not a password
	begin func(username, secret string) sasl.Client
}

// mechanisms are those that are known, of each kind the strongest first. A token
// is never given as a password: the server would be shown it as one, may count
// that as a failed login, and may keep it where it keeps passwords.
var mechanisms = []mechanism{
	{"SCRAM-SHA-256", false, newScram},
	{"CRAM-MD5", false, func(username, password string) sasl.Client { return &cramMD5{username, password} }},
	{"PLAIN", false, func(username, password string) sasl.Client { return sasl.NewPlainClient("", username, password) }},
	{"LOGIN", false, func(username, password string) sasl.Client { return &login{answers: []string{username, password}} }},
	{"OAUTHBEARER", true, newBearer},
	{"XOAUTH2", true, newXOAuth2},
}

// Mechanisms lists the names of those that are known.
func Mechanisms() (names []Mechanism) {
	for _, m := range mechanisms {
		names = append(names, m.name)
	}
	return names
}

// TakesToken reports whether a mechanism is for OAuth2 tokens.
func (name Mechanism) TakesToken() bool {
	return slices.ContainsFunc(mechanisms, func(m mechanism) bool { return m.token && m.name == name })
}

// ways are the mechanisms that a name stands for.
func (name Mechanism) ways() (ways []mechanism) {
	for _, m := range mechanisms {
		if name == m.name || name == AnyToken && m.token || name == AnyPassword && !m.token {
			ways = append(ways, m)
		}
	}
	return ways
}

// noMechanism says what an upstream lacks that offers none of the ways to log in.
func noMechanism(ways []mechanism, offered []string) error {
	text := "it offers no way to log in that is known here"
	switch {
	case len(ways) == 1:
		text = "it does not offer " + string(ways[0].name)
	case ways[0].token:
		text = "it takes no OAuth2 token"
	case slices.ContainsFunc(offered, func(name string) bool { return Mechanism(name).TakesToken() }):
		text = "it takes no password, but an OAuth2 token"
	}
	return &DialError{Kind: KindLogin, text: text}
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
		return nil, ErrLoginRefused
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

// cramMD5 is CRAM-MD5 (RFC 2195), which go-sasl does not have.
type cramMD5 struct{ username, password string }

func (c *cramMD5) Start() (string, []byte, error) { return "CRAM-MD5", nil, nil }

func (c *cramMD5) Next(challenge []byte) ([]byte, error) {
	mac := hmac.New(md5.New, []byte(c.password))
	mac.Write(challenge)
	return []byte(c.username + " " + hex.EncodeToString(mac.Sum(nil))), nil
}

// login is LOGIN: two questions, worded as the server likes. go-sasl's client
// answers to "Password:" alone, and says the name before it is asked.
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

// A bearer gives a token. A challenge says why it was refused, and is answered
// with what lets the server say so in its reply. It is read by nobody: it may
// repeat what was given.
type bearer struct {
	sasl.Client
	sorry string
}

func (b *bearer) Next([]byte) ([]byte, error) { return []byte(b.sorry), nil }

// saslName spells a name where commas part what is said (RFC 5801 section 4).
var saslName = strings.NewReplacer("=", "=3D", ",", "=2C")

// newBearer is OAUTHBEARER (RFC 7628). go-sasl's client takes a name as it is, and
// leaves the exchange at the challenge, so that the reply is never read.
func newBearer(username, token string) sasl.Client {
	return &bearer{sasl.NewOAuthBearerClient(&sasl.OAuthBearerOptions{Username: saslName.Replace(username), Token: token}), "\x01"}
}

// xoauth2 is Google's and Microsoft's XOAUTH2, which go-sasl does not have.
type xoauth2 struct{ first string }

func newXOAuth2(username, token string) sasl.Client {
	return &bearer{&xoauth2{"user=" + username + "\x01auth=Bearer " + token + "\x01\x01"}, ""}
}

func (x *xoauth2) Start() (string, []byte, error) { return "XOAUTH2", []byte(x.first), nil }
func (x *xoauth2) Next([]byte) ([]byte, error)    { return nil, nil }
