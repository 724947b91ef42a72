package proxy

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"sendguard/policy"
	"sendguard/proxy/wire"
)

// FuzzMessage: a message that passes reaches the upstream byte for byte, but
// for what the policy says is rewritten; one that does not pass never does.
func FuzzMessage(f *testing.F) {
	f.Add([]byte(plain), 10)
	f.Add([]byte(leaking(43)), 100)
	f.Add([]byte("Bcc: x@there.example\r\n.To: y\r\n\r\n..\r\n.x\r\n.\r\n"), 3)
	f.Add([]byte("Subject: a\nTo: b@x.example\r\n\r\n"), 0)
	for _, seq := range append(ends(), corpus(f)...) {
		f.Add([]byte("From: me@home.example\r\n\r\nx"+seq+"y\r\n"), 25)
	}
	u := newUpstream(f)
	u.keepLast = true
	g := newGuard(f, u)
	f.Fuzz(func(t *testing.T, content []byte, cut int) {
		content = append(content, wire.CRLF...)
		sent := wire.Stuff(content)
		c := g.with(t).greeted()
		defer c.conn.Close()
		c.envelope()
		whole := string(sent) + ".\r\n"
		cut = max(0, min(cut, len(whole)))
		c.send(whole[:cut])
		c.send(whole[cut:])
		r := c.reply()
		header := content
		if end := headerEnd(content, 0); end >= 0 {
			header = content[:end]
		}
		j := g.policy.NewJudge(policy.Envelope{Sender: "me@home.example"})
		j.Header(header)
		v := j.End()
		refused := v.Refused() || bare(string(content))
		if refused != strings.HasPrefix(r, "550 5.") || refused == strings.HasPrefix(r, "250") {
			t.Fatalf("%q: verdict %v, reply %q", content, v, r)
		}
		if refused {
			return
		}
		want := sent
		if v.Rewritten {
			want = append(wire.Stuff(v.Header), stuffFrom(content, len(header))...)
		}
		_, got, _ := u.got()
		if len(got) == 0 || got[len(got)-1] != string(want) {
			t.Fatalf("upstream got %q, want %q", got, want)
		}
	})
}

// stuffFrom is the dot-stuffed rest of a message from a line start on.
func stuffFrom(content []byte, from int) []byte { return wire.Stuff(content[from:]) }

// FuzzConversation: whatever a client says, the upstream is sent whole lines of
// known verbs only, and no message that the client was not told is sent.
func FuzzConversation(f *testing.F) {
	f.Add([]byte(dialogue(plain)))
	f.Add([]byte(dialogue(leaking(43))))
	f.Add([]byte("POST / HTTP/1.1\r\n\r\n" + dialogue(plain)))
	f.Add([]byte("EHLO x\r\nAUTH LOGIN\r\nQUIT\r\nBDAT 5\r\nNOOP\r\n*\r\n"))
	f.Add([]byte("EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<\"x@y> NOTIFY=NEVER \"@z>\r\nDATA\r\n\r\n.\n.\r.\r\r\n.\r\nRSET\r\n"))
	u := newUpstream(f)
	u.keepLast = true
	g := newGuard(f, u, func(s *setup) { s.limits.Idle, s.limits.Stall = time.Second, time.Second })
	f.Fuzz(func(t *testing.T, said []byte) {
		_, before, _ := u.totals()
		g := g.with(t)
		c := g.dial()
		c.send(string(said))
		c.conn.(*net.TCPConn).CloseWrite()
		replies, err := io.ReadAll(c.r)
		if err != nil && !strings.Contains(err.Error(), "reset") {
			t.Fatal(err)
		}
		c.conn.Close()
		waitUntil(t, "the session to end", func() bool { return g.counter("sendguard_open_sessions") == 0 })
		commands, after, _ := u.totals()
		if told := bytes.Count(replies, []byte("250 2.0.0 queued")); after-before != told && err == nil {
			t.Fatalf("%d messages upstream, %d told: %q", after-before, told, replies)
		}
		for _, line := range commands {
			if hasControls([]byte(line)) {
				t.Fatalf("upstream was sent %q", line)
			}
		}
	})
}

// FuzzReuse: whatever one client says, the next one on the same connection
// upstream gets the replies to its own commands.
func FuzzReuse(f *testing.F) {
	f.Add([]byte(dialogue(plain)))
	f.Add([]byte(dialogue(leaking(43))))
	f.Add([]byte("EHLO client.test\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nTo: x\r\n\r\nbroken off"))
	f.Add([]byte("EHLO client.test\r\nMAIL FROM:<a@b>\r\nMAIL FROM:<a@b>\r\nRSET\r\nNOOP\r\nQUIT\r\nNOOP\r\n"))
	f.Add([]byte("EHLO client.test\r\nNOOP\r\nAUTH PLAIN\r\nEHLO client.test\r\nRCPT TO:<x@y>\r\nDATA\r\nx"))
	u := newUpstream(f)
	u.keepLast = true
	u.on = func(line string) string {
		return map[string]string{"MAIL": "250 2.1.0 sender", "RCPT": "250 2.1.5 recipient", "RSET": "250 2.0.0 reset", "NOOP": "250 2.0.0 noop"}[verbOf([]byte(line))]
	}
	g := newGuard(f, u, withReuse, func(s *setup) { s.limits.Idle, s.limits.Stall = time.Second, time.Second })
	f.Fuzz(func(t *testing.T, said []byte) {
		g := g.with(t)
		c := g.dial()
		c.send(string(said))
		c.conn.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c.r)
		c.conn.Close()
		waitUntil(t, "the session to end", func() bool { return g.counter("sendguard_open_sessions") == 0 })
		c = g.greeted()
		defer c.conn.Close()
		c.cmd("MAIL FROM:<me@home.example>", "250 2.1.0 sender")
		c.cmd("NOOP", "250 2.0.0 noop")
		c.cmd("RCPT TO:<you@there.example>", "250 2.1.5 recipient")
		c.cmd("DATA", "354")
		c.send(plain + ".\r\n")
		c.want("250 2.0.0 queued as 12345")
		c.cmd("QUIT", "221")
		c.ended()
	})
}
