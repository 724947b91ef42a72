package proxy

import (
	"slices"
	"strings"
	"testing"
)

func TestAnOrdinaryMessageArrivesByteForByte(t *testing.T) {
	u := newUpstream(t)
	c := newGuard(t, u).greeted()
	m := "From: me@home.example\r\nTo:  you@there.example,\r\n\tyou2@there.example\r\nsubject:hello \r\n\r\n..dotted\r\n\x00\xff 8-bit\r\n\r\n"
	if r := c.message(m, "250"); r != "250 2.0.0 queued as 12345" {
		t.Errorf("the client was told %q, not the upstream's words", r)
	}
	c.cmd("QUIT", "221")
	c.ended()
	if _, got, _ := u.got(); !slices.Equal(got, []string{m}) {
		t.Errorf("got  %q\nwant %q", got, m)
	}
}

func TestALeakingMessageIsRefusedAndTheSessionGoesOn(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u)
	c := g.greeted()
	r := c.message(leaking(43), "550")
	if want := "550 5.7.1 Not sent: every recipient would see 43 addresses (limit 10). Move them to Bcc, or put [show 43] in the subject to send anyway."; r != want {
		t.Errorf("got  %q\nwant %q", r, want)
	}
	c.message(plain, "250")
	c.cmd("QUIT", "221")
	commands, got, broken := u.got()
	if !slices.Equal(got, []string{plain}) || len(broken) > 0 {
		t.Errorf("upstream got %q and %q", got, broken)
	}
	if n := strings.Count(strings.Join(commands, "\n"), "DATA"); n != 1 {
		t.Errorf("DATA was opened %d times upstream", n)
	}
	if !slices.Contains(commands, "RSET") {
		t.Errorf("no RSET among %q", commands)
	}
	if n := g.counter("sendguard_blocked_sends_total", "reason", "too_many_external"); n != 1 {
		t.Errorf("blocked_sends_total is %v", n)
	}
}
