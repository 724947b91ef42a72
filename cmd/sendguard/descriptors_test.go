//go:build unix

package main

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestMoreClientsThanFileDescriptorsBlameNobodyElse: they hear that there are too
// many of them, and the status goes on to answer.
func TestMoreClientsThanFileDescriptorsBlameNobodyElse(t *testing.T) {
	p := startBy(t, `ulimit -n 64; exec "$0" serve --config "$1"`, "server: {connections_per_client: 1000}\n")
	p.out.find(t, `level=WARN msg="too few file descriptors for server.connections: .*" connections=1000 fit=\d+ limit=64 needed=\d+`)
	served, turnedAway := 0, 0
	for range 60 {
		conn, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		r := bufio.NewReader(conn)
		greeting, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(greeting, "421 4.7.0 Too many connections") {
			turnedAway++
			continue
		}
		io.WriteString(conn, "EHLO client.test\r\n")
		if reply, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(reply, "250") {
			t.Errorf("%q, %v", reply, err)
		}
		served++
	}
	if served < 5 || served+turnedAway != 60 {
		t.Errorf("%d were served and %d turned away", served, turnedAway)
	}
	if status, out, stderr := command(t, "healthcheck", "--address", p.metrics); status != exitOK {
		t.Errorf("%d %s%s", status, out, stderr)
	}
	if n := p.gauge(`sendguard_upstream_connects_total{result="failed",route="work"}`); n != "0" {
		t.Errorf("%s connects upstream failed", n)
	}
	p.stop()
}
