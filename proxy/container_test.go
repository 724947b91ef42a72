package proxy

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
)

// packed is a message with a file attached.
func packed(subject, file string) string {
	var m strings.Builder
	m.WriteString("From: me@home.example\r\nTo: you@there.example\r\nSubject: " + subject + "\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	for line := range slices.Chunk([]byte(file), 57) {
		m.WriteString(base64.StdEncoding.EncodeToString(line) + "\r\n")
	}
	return m.String()
}

// zipped is text, compressed.
func zipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(text))
	w.Close()
	return b.String()
}

func TestAListInACompressedFileIsRefused(t *testing.T) {
	g := newGuard(t, newUpstream(t), inspecting(25))
	c := g.greeted()
	c.message(packed("x", zipped(addresses(43))), listRefused)
	c.message(packed("[show 43] x", zipped(addresses(43))), "250")
}

func TestWhatIsTooLargeToBeSearchedIsRefusedWithItsNumber(t *testing.T) {
	file := zipped(addresses(7) + strings.Repeat("\x00", 40<<20)) // more than is searched
	u := newUpstream(t)
	g := newGuard(t, u, inspecting(25))
	g.greeted().message(packed("x", file), "550 5.7.1 Not sent: an attachment is too large to be searched for addresses (at least 7 found). Take it out, or put [show 7] in the subject to send anyway.")
	if n := g.counter("sendguard_messages_total", "verdict", "reject", "reason", "too_many_in_body"); n != 1 {
		t.Errorf("messages_total is %v", n)
	}
	g.greeted().message(packed("[show 7] x", file), "250")
	if _, got, _ := u.got(); !slices.Equal(got, []string{packed("x", file)}) {
		t.Errorf("upstream got %d messages", len(got))
	}
}

func TestAContainerWithoutMemoryIsATemporaryFault(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u, inspecting(25), func(s *setup) { s.limits.BufferBytes = 700 << 10 })
	one := packed("x", zipped(addresses(3)))
	for name, m := range map[string]string{
		"nested":     packed("x", zipped(zipped(addresses(3)))),
		"and longer": packed("x", zipped(zipped(addresses(9000)))),
	} {
		g.greeted().message(m, "452 4.3.1")
		if n := g.counter("sendguard_messages_total", "verdict", "reject"); n != 0 {
			t.Errorf("%s: messages_total is %v", name, n)
		}
	}
	g.greeted().message(one, "250")
	if _, got, _ := u.got(); !slices.Equal(got, []string{one}) {
		t.Errorf("upstream got %d messages", len(got))
	}
}

// TestAClientThatGoesAwayInAContainerLeavesNothingBehind: what is left over, TestMain
// finds.
func TestAClientThatGoesAwayInAContainerLeavesNothingBehind(t *testing.T) {
	m := packed("x", zipped(addresses(50_000)))
	for _, n := range []int{len(m) / 2, len(m)} {
		u := newUpstream(t)
		c := newGuard(t, u, inspecting(25)).greeted()
		c.envelope()
		c.send(m[:1000])
		u.waitFor("DATA", func() bool { return slices.Contains(u.commands, "DATA") })
		c.send(m[1000:n])
		c.conn.Close()
		u.waitFor("it to break off", func() bool { return len(u.broken) == 1 })
	}
}
