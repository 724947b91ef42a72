package proxy

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"
)

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
