package proxy

import (
	"crypto/tls"
	"testing"
)

// TestAReplyThatComesTooEarlyIsNeverTakenForAnAnswer: a second reply comes by
// itself, when the guard has read and passed on the first. All replies behind it
// would be out of step by one, and a message would look accepted that was not.
func TestAReplyThatComesTooEarlyIsNeverTakenForAnAnswer(t *testing.T) {
	roots, cert := certificate(t, "127.0.0.1", tomorrow())
	for _, mode := range []TLSMode{TLSNone, TLSImplicit} {
		for at, told := range map[string]string{"MAIL": "421 4.4.2", "RCPT": "451 4.4.2", "body": "451 4.4.2"} {
			t.Run(string(mode)+", "+at, func(t *testing.T) {
				u := newUpstream(t)
				if u.implicit = mode == TLSImplicit; u.implicit {
					u.tls = &tls.Config{Certificates: []tls.Certificate{cert}}
				}
				goOn, said := make(chan struct{}), make(chan struct{})
				u.after = func(verb string, say func(string)) {
					if verb == at {
						<-goOn
						say("250 2.0.0 one more")
						close(said)
					}
				}
				u.on = func(line string) string { return map[string]string{".": "554 5.7.1 it was refused"}[line] }
				g := newGuard(t, u, func(s *setup) { s.upstream.TLS, s.upstream.RootCAs = mode, roots })
				c := g.greeted()
				last := ""
				for _, step := range []struct{ verb, line string }{
					{"MAIL", "MAIL FROM:<me@home.example>\r\n"}, {"RCPT", "RCPT TO:<you@there.example>\r\n"},
					{"DATA", "DATA\r\n"}, {"body", plain}, {".", ".\r\n"},
				} {
					c.send(step.line)
					if step.verb != "body" {
						if last = c.reply(); last[0] >= '4' {
							break
						}
					}
					if step.verb == at {
						close(goOn)
						<-said
					}
				}
				if want := told + " Not sent: trouble with 127.0.0.1: it does not speak SMTP"; last != want {
					t.Errorf("the client was told %q, want %q", last, want)
				}
				if n := g.faults(faultProtocol); n != 1 {
					t.Errorf("protocol faults: %v", n)
				}
			})
		}
	}
}
