package unfinished

import (
	"bufio"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Replicas that were there before the server lost its data and those that come
// after must have one secret, or they would not know each other's sends.
func TestReplicasAgreeOnTheSecretAfterTheServerLostItsData(t *testing.T) {
	server := startRedis(t)
	one := server.open(t)
	server.do("FLUSHALL")
	two := server.open(t)
	s := begin(t, one, news)
	defer leave(t, s)
	mayNotBegin(t, two, ErrRunning, news, everybody...)
}

// fill has the server at its maxmemory, as the README asks for it: what adds is
// refused. Which commands those are is told by the server, and not by this test.
func (r *redisServer) fill() {
	r.t.Helper()
	r.do("CONFIG", "SET", "maxmemory-policy", "noeviction")
	r.do("CONFIG", "SET", "maxmemory", "1")
	for name, command := range map[string][]any{"SET": {"SET", "filler", ""}, "SADD": {"SADD", "filler", ""}, "HSET": {"HSET", "filler", "", ""}} {
		if err := r.client.Do(r.t.Context(), command...).Err(); !redis.IsOOMError(err) {
			r.t.Fatalf("the server is not full: it says %v to %s", err, name)
		}
	}
}

func (r *redisServer) empty() {
	r.t.Helper()
	r.do("CONFIG", "SET", "maxmemory", "0")
}

func TestAFullServerNotesTheCopiesOfASendThatHasBegun(t *testing.T) {
	for _, n := range []int{3, 1000} {
		server := startRedis(t)
		sends := server.open(t)
		all := numbered(n)
		s := begin(t, sends, news, all...)
		server.fill()
		accept(t, s, all[:n/2]...)
		mayNotBegin(t, sends, ErrFull, another(1), everybody...)
		leave(t, s)
		mayNotBegin(t, sends, ErrFull, news, all...)
		server.empty()
		s = begin(t, server.open(t), again, all...)
		for i, r := range all {
			equal(t, r, s.Has(r), i < n/2)
		}
		server.fill()
		accept(t, s, all[n/2:]...)
		finish(t, s)
		server.empty()
		s = begin(t, sends, again, all...)
		equal(t, "known when all was forgotten", known(s, all...), "")
		server.fill()
		accept(t, s, all...)
		if err := s.FinishUnheard(t.Context()); err != nil {
			t.Error(err)
		}
		server.empty()
		s = begin(t, sends, again, all...)
		equal(t, "known when nobody heard", known(s, all...), strings.Join(all, " "))
		leave(t, s)
	}
}

func TestAUserWhoMayNotNoteACopyMayNotBegin(t *testing.T) {
	server := startRedis(t)
	server.do("ACL", "SETUSER", "default", "-srem")
	sends := server.open(t)
	if _, err := sends.Begin(t.Context(), news, everybody); err == nil || !strings.Contains(err.Error(), "can't run this command") && !strings.Contains(err.Error(), "permission") {
		t.Errorf("got %v", err)
	}
}

// A server that was started anew has no script, and is sent it whole.
func TestAFullServerThatLostItsScriptsNotesCopies(t *testing.T) {
	server := startRedis(t)
	s := begin(t, server.open(t), news)
	server.fill()
	server.do("SCRIPT", "FLUSH")
	accept(t, s, everybody...)
	finish(t, s)
	equal(t, "records", len(server.keys("sent:*")), 0)
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

func TestACopyIsNotedByAServerThatIsStartedAnew(t *testing.T) {
	server := startRedis(t)
	s := begin(t, server.open(t), news)
	accept(t, s, everybody[0])
	server.stop()
	noted := make(chan error, 1)
	go func() { noted <- s.Accepted(t.Context(), everybody[1]) }()
	select {
	case err := <-noted:
		t.Fatalf("it gave up at once: %v", err)
	case <-time.After(500 * time.Millisecond): // so long a start takes
	}
	server.start()
	if err := <-noted; err != nil {
		t.Fatal(err)
	}
	leave(t, s)
}

func TestAServerThatDoesNotAnswerIsNotWaitedForLong(t *testing.T) {
	t.Parallel() // with others that wait

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
	accept(t, s, everybody[1:]...)
	var dump []byte
	keys := server.client.Scan(t.Context(), 0, "*", 1000).Iterator()
	hashes := 0
	for keys.Next(t.Context()) {
		dump = append(dump, keys.Val()+"\n"...)
		switch kind, _, _ := strings.Cut(strings.TrimPrefix(keys.Val(), prefix), ":"); kind {
		case "sent":
			for _, member := range server.client.SMembers(t.Context(), keys.Val()).Val() {
				dump = append(dump, member+"\n"...)
				hashes++
			}
		case "running":
			for field, value := range server.client.HGetAll(t.Context(), keys.Val()).Val() {
				dump = append(dump, field+value+"\n"...)
				hashes++
			}
		default:
			dump = append(dump, server.client.Get(t.Context(), keys.Val()).Val()+"\n"...)
		}
	}
	leave(t, s)
	equal(t, "hashes", hashes, 4*len(everybody)+2) // each in two records and two tables; who is due twice in a record
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
