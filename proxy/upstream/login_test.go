package upstream

import (
	"bufio"
	"net"
	"testing"
	"time"
)

func TestAPasswordNeverTravelsInTheClear(t *testing.T) {
	here, there := net.Pipe() // not TLS, and not on loopback
	defer here.Close()
	defer there.Close()
	u := &Conn{conn: here, r: bufio.NewReader(here), wait: Timeouts{Stall: time.Second, Reply: time.Second}, caps: map[string]string{"AUTH": "PLAIN"}}
	if err := newAccount(&Login{Username: "tim", Password: "secret"}).logIn(u, "secret"); err != errInTheClear {
		t.Errorf("got %v", err)
	}
}
