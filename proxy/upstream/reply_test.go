package upstream

import (
	"bufio"
	"bytes"
	"net"
	"strings"
	"testing"
	"time"
)

// FuzzReply: no reply of an upstream breaks the reader, and what it takes can
// be shown to a client as it is.
func FuzzReply(f *testing.F) {
	for _, s := range []string{"250 ok\r\n", "250-a\r\n250 b\r\n", "250-a\r\n251 b\r\n", "xyz\r\n", "250\n", "", "550-\r\n550\r\n", "250 \x00\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		client, server := net.Pipe()
		go func() {
			server.Write(said)
			server.Close()
		}()
		defer client.Close()
		u := &Conn{conn: client, r: bufio.NewReaderSize(client, maxReplyLine)}
		r, err := u.readReply(time.Second)
		if err != nil {
			return
		}
		if r.Code < 200 || r.Code > 599 || !bytes.HasSuffix(r.Raw, []byte("\r\n")) || len(r.Raw) > maxReply+maxReplyLine {
			t.Fatalf("%q: took %d %q", said, r.Code, r.Raw)
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(string(r.Raw), "\r\n"), "\r\n") {
			if code, _, ok := replyLine([]byte(line)); !ok || code != r.Code || strings.ContainsAny(line, "\r\n\x00") {
				t.Fatalf("%q: line %q", said, line)
			}
		}
	})
}
