package maildrop

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// A Server keeps messages in a Maildir.
type Server struct {
	dir      string
	listener net.Listener
	smtp     *smtp.Server
	done     chan struct{}

	mu    sync.Mutex
	count int
}

// maxMessage bounds what one message may take of memory and disk.
const maxMessage = 32 << 20

// New listens on a free port of 127.0.0.1 and keeps messages in dir, which it
// makes a Maildir.
func New(dir string) (*Server, error) {
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, listener: l, done: make(chan struct{})}
	s.smtp = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{server: s}, nil }))
	s.smtp.Domain = "localhost"
	s.smtp.MaxMessageBytes = maxMessage
	s.smtp.MaxLineLength = 0
	s.smtp.EnableSMTPUTF8 = true
	s.smtp.EnableDSN = true
	s.smtp.ReadTimeout = 10 * time.Minute
	s.smtp.WriteTimeout = time.Minute
	go func() {
		defer close(s.done)
		s.smtp.Serve(l)
	}()
	return s, nil
}

// Addr returns where the server listens.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close ends the server. What it kept stays.
func (s *Server) Close() error {
	err := s.smtp.Close()
	<-s.done
	return err
}

// keep writes a message under a name that nothing else has, in tmp first and
// then in new, so that no reader finds half of it. Lines end in LF, as programs
// that read a Maildir expect.
func (s *Server) keep(from string, to []string, r io.Reader) error {
	s.mu.Lock()
	s.count++
	name := fmt.Sprintf("%d.%d_%d.localhost", time.Now().UnixNano(), os.Getpid(), s.count)
	s.mu.Unlock()
	var b bytes.Buffer
	fmt.Fprintf(&b, "Return-Path: <%s>\n", from)
	for _, rcpt := range to {
		fmt.Fprintf(&b, "X-Envelope-To: <%s>\n", rcpt)
	}
	if _, err := b.ReadFrom(r); err != nil {
		return err
	}
	tmp := filepath.Join(s.dir, "tmp", name)
	if err := os.WriteFile(tmp, bytes.ReplaceAll(b.Bytes(), []byte("\r\n"), []byte("\n")), 0o600); err != nil {
		return errors.Join(errCannotKeep, os.Remove(tmp))
	}
	return os.Rename(tmp, filepath.Join(s.dir, "new", name))
}

var errCannotKeep = &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 3, 1}, Message: "Cannot keep the message"}

type session struct {
	server *Server
	from   string
	to     []string
}

func (s *session) Reset()        { s.from, s.to = "", nil }
func (s *session) Logout() error { return nil }

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.from, s.to = from, nil
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error { return s.server.keep(s.from, s.to, r) }

// Messages returns the messages kept so far, the oldest first.
func (s *Server) Messages() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, "new"))
	if err != nil {
		return nil, err
	}
	var all []string
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(s.dir, "new", e.Name()))
		if err != nil {
			return nil, err
		}
		all = append(all, string(b))
	}
	return all, nil
}
