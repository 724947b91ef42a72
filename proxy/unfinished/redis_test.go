package unfinished

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestASendRunsAtOneReplicaOnly(t *testing.T) {
	server := startRedis(t)
	one, two := server.open(t), server.open(t)
	s := begin(t, one, news)
	accept(t, s, everybody[0])
	for _, m := range []Message{news, again, edited} {
		if _, err := two.Begin(t.Context(), m); !errors.Is(err, ErrRunning) {
			t.Errorf("got %v, want ErrRunning", err)
		}
	}
	leave(t, s)
	s = begin(t, two, again)
	equal(t, "known at the other replica", known(s, everybody...), everybody[0])
	leave(t, s)
	equal(t, "locks left", len(server.keys("running:*")), 0)
}

// dead is a replica that dies with a send running: nothing renews its lock.
func dead(t *testing.T, server *redisServer, m Message, recipients ...string) {
	t.Helper()
	sends := server.open(t)
	s := begin(t, sends, m)
	accept(t, s, recipients...)
	t.Cleanup(func() { s.Leave(t.Context()) })
	// Its token in the lock is not that of the Send any more: it renews nothing.
	for _, key := range server.keys("running:*") {
		server.do("SET", key, "dead", "KEEPTTL")
	}
}

func TestTheSendOfADeadReplicaIsTakenUpWithinThirtySeconds(t *testing.T) {
	server := startRedis(t)
	sends := server.open(t)
	dead(t, server, news, everybody[0])
	if _, err := sends.Begin(t.Context(), news); !errors.Is(err, ErrRunning) {
		t.Errorf("got %v, want ErrRunning", err)
	}
	server.advance(30 * time.Second)
	s := begin(t, sends, news)
	equal(t, "known", known(s, everybody...), everybody[0])
	leave(t, s)
}

// eventually waits for something that the background does.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited for it in vain: %s", what)
		}
	}
}

func withLease(sends *Sends, d time.Duration) *Sends {
	sends.store.(*redisStore).lease = d
	return sends
}

func TestALeaseIsRenewedWhileTheSendRuns(t *testing.T) {
	server := startRedis(t)
	s := begin(t, withLease(server.open(t), 300*time.Millisecond), news)
	defer leave(t, s)
	keys := server.keys("running:*")
	equal(t, "locks", len(keys), 2)
	left := func(key string) time.Duration { return server.client.PTTL(t.Context(), key).Val() }
	for range 3 {
		for _, key := range keys {
			// The rest of a lease that nobody renews only shrinks.
			before := left(key)
			eventually(t, "the lease grows", func() bool {
				now := left(key)
				grew := now > before
				before = now
				return grew
			})
		}
	}
}

// The server has lost its data, and nobody else had the send: it goes on, and
// what it notes is found again, since the replica gives the secret back.
func TestALockThatIsGoneIsTakenAgain(t *testing.T) {
	server := startRedis(t)
	sends := withLease(server.open(t), 300*time.Millisecond)
	s := begin(t, sends, news)
	server.do("FLUSHALL")
	eventually(t, "the locks are back", func() bool { return len(server.keys("running:*")) == 2 })
	accept(t, s, everybody[0])
	leave(t, s)
	s = begin(t, sends, news)
	equal(t, "known", known(s, everybody...), everybody[0])
	leave(t, s)
}

func TestASendThatAnotherReplicaTookOverIsTold(t *testing.T) {
	server := startRedis(t)
	one, two := withLease(server.open(t), 300*time.Millisecond), server.open(t)
	s := begin(t, one, news)
	locks := server.keys("running:*")
	for _, key := range locks {
		server.do("DEL", key) // as if the first had been silent for a whole lease
	}
	other, err := two.Begin(t.Context(), news)
	for range 100 {
		if err == nil {
			break
		}
		for _, key := range locks { // the first was quicker
			server.do("DEL", key)
		}
		other, err = two.Begin(t.Context(), news)
	}
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first finds out", s.lock.lost.Load)
	if err := s.Accepted(t.Context(), everybody[0]); !errors.Is(err, ErrRunning) {
		t.Errorf("got %v, want ErrRunning", err)
	}
	accept(t, other, everybody[1])
	if err := s.Finish(t.Context()); !errors.Is(err, ErrRunning) {
		t.Errorf("got %v, want ErrRunning", err)
	}
	equal(t, "locks of the second", len(server.keys("running:*")), 2)
	leave(t, other)
	s = begin(t, two, news)
	equal(t, "known", known(s, everybody...), "a@x.example b@x.example")
	leave(t, s)
}

// Replicas that were there before the server lost its data and those that come
// after must have one secret, or they would not know each other's sends.
func TestReplicasAgreeOnTheSecretAfterTheServerLostItsData(t *testing.T) {
	server := startRedis(t)
	one := server.open(t)
	server.do("FLUSHALL")
	two := server.open(t)
	s := begin(t, one, news)
	defer leave(t, s)
	if _, err := two.Begin(t.Context(), news); !errors.Is(err, ErrRunning) {
		t.Errorf("got %v, want ErrRunning", err)
	}
}

func TestWhatAFullServerRefusedIsWrittenLater(t *testing.T) {
	server := startRedis(t)
	sends := server.open(t)
	s := begin(t, sends, news)
	server.do("CONFIG", "SET", "maxmemory", "1")
	for _, r := range everybody[:2] {
		if err := s.Accepted(t.Context(), r); !errors.Is(err, ErrFull) {
			t.Fatalf("got %v, want ErrFull", err)
		}
	}
	if _, err := sends.Begin(t.Context(), Message{}); !errors.Is(err, ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
	server.do("CONFIG", "SET", "maxmemory", "0")
	leave(t, s) // writes what is pending
	s = begin(t, sends, again)
	equal(t, "known", known(s, everybody...), "a@x.example b@x.example")
	leave(t, s)
}

func TestWhatAServerThatWasAwayMissedIsWrittenLater(t *testing.T) {
	server := startRedis(t)
	sends := server.open(t)
	s := begin(t, sends, news)
	server.stop()
	began := time.Now()
	err := s.Accepted(t.Context(), everybody[0])
	if err == nil || !strings.Contains(err.Error(), server.addr) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > 2*redisTimeout {
		t.Errorf("it took %v", took)
	}
	server.start()
	accept(t, s, everybody[1])
	leave(t, s)
	s = begin(t, server.open(t), again)
	equal(t, "known", known(s, everybody...), "a@x.example b@x.example")
	leave(t, s)
}

func TestAServerThatDoesNotAnswerIsNotWaitedForLong(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // connects, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	began := time.Now()
	_, err = Open(t.Context(), "redis://"+l.Addr().String()+"/0")
	if err == nil || !strings.Contains(err.Error(), "no answer within") || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > 2*redisTimeout {
		t.Errorf("it took %v", took)
	}
}

func TestAnExpiryIsSetWithTheRecord(t *testing.T) {
	server := startRedis(t)
	s := begin(t, server.open(t), news)
	accept(t, s, everybody...)
	leave(t, s)
	lives := map[time.Duration]int{}
	for _, key := range server.keys("sent:*") {
		lives[server.client.PTTL(t.Context(), key).Val().Round(time.Minute)]++
	}
	if len(lives) != 2 || lives[idLife] != 1 || lives[contentLife] != 1 {
		t.Errorf("the records expire in %v", lives)
	}
}

func TestNothingReadableStandsInTheServer(t *testing.T) {
	server := startRedis(t)
	s := begin(t, server.open(t), news)
	accept(t, s, everybody...)
	var dump []byte
	keys := server.client.Scan(t.Context(), 0, "*", 1000).Iterator()
	hashes := 0
	for keys.Next(t.Context()) {
		dump = append(dump, keys.Val()+"\n"...)
		if strings.HasPrefix(keys.Val(), prefix+"sent:") {
			for _, member := range server.client.SMembers(t.Context(), keys.Val()).Val() {
				dump = append(dump, member+"\n"...)
				hashes++
			}
		} else {
			dump = append(dump, server.client.Get(t.Context(), keys.Val()).Val()+"\n"...)
		}
	}
	leave(t, s)
	equal(t, "hashes", hashes, 2*len(everybody))
	unreadable(t, dump)
}

func TestCredentialsAreUsedAndNeverTold(t *testing.T) {
	server := startRedis(t)
	server.do("ACL", "SETUSER", "guard", "on", ">open sesame", "~sendguard:*", "+@all")
	server.do("ACL", "SETUSER", "guest", "on", ">open sesame", "~*", "-@all", "+hello", "+auth") // may log in, no more
	sends, err := Open(t.Context(), server.state(url.UserPassword("guard", "open sesame")))
	if err != nil {
		t.Fatal(err)
	}
	opening(t, sends.store)
	s := begin(t, sends, news)
	accept(t, s, everybody[0])
	leave(t, s)
	for user, password := range map[string]string{"guard": "wrong sesame", "guest": "open sesame", "nobody": "open sesame"} {
		_, err := Open(t.Context(), server.state(url.UserPassword(user, password)))
		if err == nil {
			t.Errorf("%s got in", user)
		} else if strings.Contains(err.Error(), user) || strings.Contains(err.Error(), "sesame") {
			t.Errorf("the error has credentials: %v", err)
		}
	}
}

// Some servers repeat in an error what they were sent, or who sent it.
func TestAServerThatRepeatsCredentialsIsNotQuoted(t *testing.T) {
	for _, reply := range []string{
		"-ERR unknown command `HELLO`, with args beginning with: `3` `auth` `guard` `open%20sesame`",
		"-NOPERM User guard has no permissions to run the 'get' command",
		"-ERR no open sesame for guard",
	} {
		addr := answering(t, reply)
		_, err := Open(t.Context(), "redis://guard:open%20sesame@"+addr+"/0")
		if err == nil || !strings.Contains(err.Error(), addr) {
			t.Errorf("%s: got %v", reply, err)
		} else if strings.Contains(err.Error(), "guard") || strings.Contains(err.Error(), "sesame") {
			t.Errorf("the error has credentials: %v", err)
		}
	}
}

// answering is a server that has one reply to every command.
func answering(t *testing.T, reply string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(patience))
				for lines := bufio.NewScanner(c); lines.Scan(); {
					if strings.HasPrefix(lines.Text(), "*") { // a command begins
						fmt.Fprintf(c, "%s\r\n", reply)
					}
				}
			})
		}
	})
	return l.Addr().String()
}
