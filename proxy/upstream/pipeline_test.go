package upstream

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// TestTheCommandsOfAFlightHaveOneTimeOut: four that are slow would hold the client up
// for four times what it waits.
func TestTheCommandsOfAFlightHaveOneTimeOut(t *testing.T) {
	const slow = 200 * time.Millisecond // an answer
	for _, pipelining := range []bool{true, false} {
		here, there := net.Pipe()
		defer here.Close()
		served := make(chan struct{})
		go func() {
			defer close(served)
			defer there.Close()
			r := bufio.NewReader(there)
			for _, answer := range []string{"250", "250", "250", "354"} {
				r.ReadSlice('\n')
				<-time.After(slow)
				if _, err := io.WriteString(there, answer+" ok\r\n"); err != nil {
					return
				}
			}
		}()
		u := &Conn{conn: here, socket: here, r: bufio.NewReader(here), wait: Timeouts{Stall: 10 * time.Second, Reply: 10 * time.Second}, replied: func(string, int) {}}
		flight := []Command{{"rset", []byte("RSET\r\n")}, {"mail", []byte("MAIL FROM:<>\r\n")}, {"rcpt", []byte("RCPT TO:<a@b>\r\n")}, {"data", []byte("DATA\r\n")}}
		if r, err := u.Fly(flight, pipelining, 2*slow); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("pipelining %v: %q %v", pipelining, r.Raw, err)
		}
		here.Close()
		<-served
	}
}
