package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sendguard/cmd/sendguard/maildrop"
)

// A killing is mail that goes out while sendguard is killed and started again.
// The sockets are the test's, as they would be systemd's: clients wait there
// meanwhile.
type killing struct {
	t       *testing.T
	drop    *maildrop.Server
	addrs   []string // of the routes: the messages as they are, and in copies
	stopped atomic.Bool
	sent    atomic.Int32 // messages that a client was told are sent

	mu   sync.Mutex
	told map[string]bool // by the number of a message: whether it was told so
}

// TestAKillLosesAndDoublesNothing kills sendguard at random moments, three
// times or SENDGUARD_KILLS. What a client was told is sent must be there once,
// anything else at most once, and no message in part.
func TestAKillLosesAndDoublesNothing(t *testing.T) {
	kills := 3
	if n, err := strconv.Atoi(os.Getenv("SENDGUARD_KILLS")); err == nil {
		kills = n
	}
	drop, err := maildrop.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer drop.Close()
	k := &killing{t: t, drop: drop, told: map[string]bool{}}
	var sockets []*os.File
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		sockets, k.addrs = append(sockets, handOver(t, l.(*net.TCPListener))), append(k.addrs, l.Addr().String())
	}
	upstream := "upstream: {address: \"" + drop.Addr() + "\", tls: none, auth: none}\n"
	config := writeConfig(t, "routes:\n  - name: plain\n    listen: systemd:plain\n    "+upstream+"  - name: copies\n    listen: systemd:copies\n    "+upstream+
		"policy:\n  individual: {state: \"bolt:"+filepath.Join(t.TempDir(), "sends")+"\"}\n  rules: [{name: copies, match: {route: [copies]}, limits: {external: 1}, action: individual}]\nmetrics: {listen: \"127.0.0.1:0\"}\n")
	var clients sync.WaitGroup
	for n := range 6 {
		clients.Go(func() { k.send(n) })
	}
	clients.Go(k.sendCopies)
	for n := range kills + 1 {
		before := k.sent.Load()
		cmd, _ := startWith(t, config, "plain:copies", sockets...)
		for deadline := time.Now().Add(patience); k.sent.Load() < before+20; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("nothing is sent any more")
			}
		}
		if n == kills {
			k.stopped.Store(true)
			clients.Wait()
		}
		time.Sleep(rand.N(30 * time.Millisecond))
		cmd.Process.Kill()
		cmd.Wait()
	}
	k.account(kills)
}

// longMessage has a body that is as long as its number says.
func longMessage(id string, to []string) string {
	n, _ := strconv.Atoi(id[strings.LastIndexByte(id, '-')+1:])
	return fmt.Sprintf("Message-ID: <%s@home.example>\r\nFrom: me@home.example\r\nTo: %s\r\nSubject: %s\r\n\r\n%send of %s\r\n",
		id, strings.Join(to, ", "), id, strings.Repeat("0123456789 and so on\r\n", n%5*2000), id)
}

// send is a client that sends one message after the other, each of them once.
func (k *killing) send(client int) {
	to := []string{"you@there.example"}
	for n := 0; !k.stopped.Load(); n++ {
		id := fmt.Sprintf("plain-%d-%d", client, n)
		k.note(id, maildropSend(k.addrs[0], to, longMessage(id, to)))
	}
}

// sendCopies is one that sends each message to five people until it has gone
// to all of them.
func (k *killing) sendCopies() {
	to := []string{"a@there.example", "b@there.example", "c@there.example", "d@there.example", "e@there.example"}
	for n := 0; !k.stopped.Load(); n++ {
		id := fmt.Sprintf("copies-%d", n)
		for {
			if reply := maildropSend(k.addrs[1], to, longMessage(id, to)); strings.HasPrefix(reply, "250") {
				k.note(id, reply)
				break
			}
		}
	}
}

// maildropSend returns "" where the connection ended without a reply.
func maildropSend(addr string, to []string, message string) string {
	reply, _ := maildrop.Send(addr, "me@home.example", to, message)
	return reply
}

func (k *killing) note(id, reply string) {
	told := strings.HasPrefix(reply, "250")
	if reply != "" && !told && !strings.HasPrefix(reply, "4") {
		k.t.Errorf("%s: %q", id, reply)
	}
	k.mu.Lock()
	k.told[id] = told
	k.mu.Unlock()
	if told {
		k.sent.Add(1)
	}
}

// account holds what arrived against what the clients were told. A kill may come
// between the upstream's reply to a copy and the note of it (RFC 1047).
func (k *killing) account(kills int) {
	messages, err := k.drop.Messages()
	if err != nil {
		k.t.Fatal(err)
	}
	arrived := map[string]int{}
	for _, m := range messages {
		envelope, m, _ := strings.Cut(m, "Message-ID: <")
		id, _, _ := strings.Cut(m, "@")
		to := envelope[strings.LastIndexByte(envelope, '<')+1 : strings.LastIndexByte(envelope, '>')]
		if "Message-ID: <"+m != strings.ReplaceAll(longMessage(id, []string{to}), "\r\n", "\n") {
			k.t.Errorf("%s is not as it was sent: %.300q", id, m)
		}
		arrived[id+" "+to]++
	}
	twice, missed := 0, 0
	for id, told := range k.told {
		people, most := []string{"you"}, 1
		if strings.HasPrefix(id, "copies") {
			people, most = []string{"a", "b", "c", "d", "e"}, 2
		}
		for _, p := range people {
			n := arrived[id+" "+p+"@there.example"]
			switch {
			case n > most, told && n == 0:
				k.t.Errorf("%s: told %v, %d arrived for %s", id, told, n, p)
			case n > 1:
				twice++
			case !told && n == 1:
				missed++
			}
		}
	}
	if twice > kills {
		k.t.Errorf("%d copies arrived twice in %d kills", twice, kills)
	}
	k.t.Logf("%d kills, %d messages, %d of them told to be sent, %d arrived and were not told, %d copies twice", kills, len(k.told), k.sent.Load(), missed, twice)
}
