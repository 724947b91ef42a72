package proxy

import (
	"bufio"
	"hash/crc32"
	"io"
	"net"
	"os"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"sendguard/proxy/upstream"
)

// A hugeServer is an upstream that keeps nothing but the size and a checksum of
// each message, as on the wire.
type hugeServer struct {
	address string
	got     chan checksum
}

// A checksum is what is kept of a message: its size, its CRC and its end.
type checksum struct {
	size int
	sum  uint32
	end  string
}

func (c *checksum) write(s string) {
	c.size += len(s)
	c.sum = crc32.Update(c.sum, castagnoli, []byte(s))
	c.end += s[max(0, len(s)-5):]
	c.end = c.end[max(0, len(c.end)-5):]
}

func (c *checksum) ended() bool { return c.end == "\r\n.\r\n" }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func newHugeServer(t *testing.T) *hugeServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	h := &hugeServer{l.Addr().String(), make(chan checksum, 10)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go h.serve(conn)
		}
	}()
	return h
}

func (h *hugeServer) serve(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * patience))
	r := bufio.NewReaderSize(conn, 64<<10)
	for reply := "220 huge.test\r\n"; ; {
		io.WriteString(conn, reply)
		line, err := r.ReadString('\n')
		switch {
		case err != nil:
			return
		case !strings.HasPrefix(line, "DATA"):
			reply = "250 ok\r\n"
			continue
		}
		io.WriteString(conn, "354 go on\r\n")
		var message checksum
		for !message.ended() {
			if _, err := r.Peek(1); err != nil {
				return
			}
			piece, _ := r.Peek(r.Buffered())
			message.write(string(piece))
			r.Discard(len(piece))
		}
		h.got <- message
		reply = "250 2.0.0 taken\r\n"
	}
}

// An expectation is what is to arrive at a hugeServer.
type expectation struct {
	from *hugeServer
	all  []checksum
}

// expected begins with the header of each message, and the start of its body.
func (h *hugeServer) expected(shown [][]string) *expectation {
	e := &expectation{h, make([]checksum, len(shown))}
	for i, to := range shown {
		e.all[i].write(newsletter("1", to))
	}
	return e
}

func (e *expectation) write(s string) {
	for i := range e.all {
		e.all[i].write(s)
	}
}

// check is for when the client has had its reply.
func (e *expectation) check(t *testing.T) {
	t.Helper()
	for _, want := range e.all {
		if got := <-e.from.got; got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if len(e.from.got) > 0 {
		t.Error("more came")
	}
}

// memory is what is in use on the heap, the test's own included.
func memory() int64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}

// TestHugeMessagesNeedLittleMemory sends messages in one line of up to 100 MB;
// with SENDGUARD_GIGABYTE in the environment all have 1 GB.
func TestHugeMessagesNeedLittleMemory(t *testing.T) {
	piece := strings.Repeat("x", 1<<16)
	own, both := newPair(t, upstream.TLSImplicit), people(2)
	for _, tc := range []struct {
		name   string
		size   int
		change func(*setup)
		shown  [][]string // who is in To of each message that arrives
	}{
		{"as they are", 100_000_000, func(*setup) {}, [][]string{both}},
		{"within TLS", 20_000_000, own.on, [][]string{both}},
		{"inspected", 20_000_000, inspecting(10), [][]string{both}},
		{"in copies", 20_000_000, individual, [][]string{both[:1], both[1:]}},
		{"over their limit", 20_000_000, func(s *setup) { s.limits.MessageBytes = 10_000_000 }, nil},
	} {
		if os.Getenv("SENDGUARD_GIGABYTE") != "" {
			tc.size = 1 << 30
		}
		t.Run(tc.name, func(t *testing.T) {
			h := newHugeServer(t)
			dir := t.TempDir()
			g := newGuard(t, newUpstream(t), func(s *setup) {
				s.upstream.Address, s.limits.SpoolDir, s.limits.TimeBudget = h.address, dir, 30*patience
			}, tc.change)
			c := g.dial()
			c.conn.SetDeadline(time.Now().Add(30 * patience))
			if tc.name == "within TLS" {
				c.handshake(own.config())
			}
			c.want("220")
			for _, line := range []string{"EHLO client.test", "MAIL FROM:<me@home.example>", "RCPT TO:<" + both[0] + ">", "RCPT TO:<" + both[1] + ">"} {
				c.cmd(line, "250")
			}
			c.cmd("DATA", "354")
			c.send(newsletter("1", both))
			want := h.expected(tc.shown)
			before, used := memory(), int64(0)
			for n := 0; n < tc.size; n += len(piece) {
				c.send(piece)
				want.write(piece)
				if n%(64*len(piece)) == 0 {
					used = max(used, memory()-before)
				}
			}
			c.send("\r\n.\r\n")
			want.write("\r\n.\r\n")
			if tc.shown == nil {
				c.want("552 5.3.4")
			} else {
				c.want("250")
			}
			want.check(t)
			if t.Logf("%d MB, at most %d KiB of memory", tc.size/1_000_000, used>>10); used > 48<<20 {
				t.Errorf("it took %d bytes of memory", used)
			}
		})
	}
}

// TestLongCommandsAndManyRecipientsComeOutOfTheBudget: nothing that a client can
// have the guard hold is without a bound for all clients together.
func TestLongCommandsAndManyRecipientsComeOutOfTheBudget(t *testing.T) {
	g := newGuard(t, newUpstream(t), func(s *setup) { s.limits.BufferBytes = 400_000; s.limits.LineBytes = 100_000 })
	long, other := g.greeted(), g.greeted()
	long.send("AUTH XOAUTH2 " + strings.Repeat("A", 80_000))
	waitUntil(t, "the line to be held", func() bool { return g.buffers.Left() < 200_000 })
	other.send("AUTH XOAUTH2 " + strings.Repeat("A", 80_000))
	other.want("421 4.3.1")
	other.ended()
	long.send("\r\n")
	long.want("235")
	long.cmd("NOOP", "250")
	waitUntil(t, "all to be given back", func() bool { return g.buffers.Left() == 400_000 })
	long.cmd("MAIL FROM:<me@home.example>", "250")
	rcpt := "RCPT TO:<" + strings.Repeat("x", 4000) + "@there.example>"
	taken := 0
	for long.send(rcpt + "\r\n"); strings.HasPrefix(long.reply(), "250"); long.send(rcpt + "\r\n") {
		taken++
	}
	if n := g.faults(faultBuffersFull); taken < 40 || taken > 50 || n != 2 {
		t.Errorf("%d recipients were taken, and %v faults counted", taken, n)
	}
	long.cmd("RSET", "250")
	long.message(plain, "250")
}
