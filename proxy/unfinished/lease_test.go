package unfinished

import (
	"errors"
	"testing"
	"time"
)

func TestASendRunsAtOneReplicaOnly(t *testing.T) {
	server := startRedis(t)
	one, two := server.open(t), server.open(t)
	s := begin(t, one, news)
	accept(t, s, everybody[0])
	for _, m := range []Message{news, again} {
		mayNotBegin(t, two, ErrRunning, m, everybody...)
	}
	leave(t, s)
	s = begin(t, two, again)
	equal(t, "known at the other replica", known(s, everybody...), everybody[0])
	leave(t, s)
	equal(t, "locks left", len(server.locks()), 0)
}

// locks are the keys of running sends: a lease, and two tables of recipients.
func (r *redisServer) locks() []string {
	return append(r.keys("running:*"), r.keys("lease:*")...)
}

// dead is a replica that dies with a send running: nothing renews its lease.
func dead(t *testing.T, server *redisServer, m Message) {
	t.Helper()
	s := begin(t, server.open(t), m)
	accept(t, s, everybody[0])
	t.Cleanup(func() { s.Leave(t.Context()) })
	// The lease is not that of the Send any more, which so renews nothing.
	server.do("RENAME", server.keys("lease:*")[0], prefix+"lease:dead")
	for _, table := range server.keys("running:*") {
		for hash := range server.client.HGetAll(t.Context(), table).Val() {
			server.do("HSET", table, hash, prefix+"lease:dead")
		}
	}
}

func TestTheSendOfADeadReplicaIsTakenUpWithinThirtySeconds(t *testing.T) {
	server := startRedis(t)
	sends := server.open(t)
	dead(t, server, news)
	// A part that lives keeps the tables, and not what is dead in them.
	part := begin(t, withLease(server.open(t), time.Minute), news, "d@x.example")
	defer leave(t, part)
	mayNotBegin(t, sends, ErrRunning, news, everybody...)
	server.advance(30 * time.Second)
	mayNotBegin(t, sends, ErrRunning, news, "c@x.example", "d@x.example")
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
	keys := server.locks()
	equal(t, "locks", len(keys), 3)
	server.do("CONFIG", "SET", "maxmemory", "1") // it is renewed by a full server too
	left := func(key string) time.Duration { return server.client.PTTL(t.Context(), key).Val() }
	for range 2 {
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
	eventually(t, "the locks are back", func() bool { return len(server.locks()) == 3 })
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
	other := takeOver(t, server, two)
	eventually(t, "the first finds out", s.lock.lost.Load)
	if err := s.Accepted(t.Context(), everybody[0]); !errors.Is(err, ErrRunning) {
		t.Errorf("got %v, want ErrRunning", err)
	}
	accept(t, other, everybody[1])
	if err := s.Finish(t.Context()); !errors.Is(err, ErrRunning) {
		t.Errorf("got %v, want ErrRunning", err)
	}
	equal(t, "locks of the second", len(server.locks()), 3)
	leave(t, other)
	s = begin(t, two, news)
	equal(t, "known", known(s, everybody...), "a@x.example b@x.example")
	leave(t, s)
}

// takeOver has a replica take up news from another one, the lease of which runs
// out as if that had been silent for so long.
func takeOver(t *testing.T, server *redisServer, sends *Sends) (s *Send) {
	t.Helper()
	lease := server.keys("lease:*")[0]
	eventually(t, "the send is taken over", func() (ok bool) { // the first may be quicker
		server.do("DEL", lease)
		var err error
		s, err = sends.Begin(t.Context(), news, everybody)
		return err == nil
	})
	return s
}

// What the first has noted is forgotten by the second, which has finished. Were
// the first to write it again, the next message of the same text would not go to
// everybody.
func TestASendThatWasTakenOverDoesNotComeBack(t *testing.T) {
	server := startRedis(t)
	one, two := withLease(server.open(t), 300*time.Millisecond), server.open(t)
	for what, foundOut := range map[string]bool{"the first finds out before": true, "or after": false} {
		s := begin(t, one, news)
		accept(t, s, everybody[0])
		other := takeOver(t, server, two)
		equal(t, "known to the second", known(other, everybody...), everybody[0])
		if foundOut {
			eventually(t, what, s.lock.lost.Load)
		}
		finish(t, other)
		eventually(t, what, s.lock.lapsed.Load)
		leave(t, s)
		equal(t, "records", len(server.keys("sent:*")), 0)
	}
}

func TestPartsRunAtTwoReplicas(t *testing.T) {
	server := startRedis(t)
	one, two := server.open(t), server.open(t)
	all := numbered(2000)
	first := begin(t, one, news, all[:1000]...)
	second := begin(t, two, news, all[1000:]...)
	mayNotBegin(t, one, ErrRunning, news, all[1999])
	mayNotBegin(t, two, ErrRunning, again, all[999:1000]...)
	for _, r := range all[:1000] {
		for _, rec := range first.records {
			rec.note(r)
		}
	}
	accept(t, second, all[1000], all[1999])
	accept(t, first, all[0]) // writes what is noted
	served := 0
	for _, m := range membersOf(server.client.SMembers(t.Context(), server.keys("sent:*")[0]).Val()) {
		if !m.due {
			served++
		}
	}
	equal(t, "noted", served, 1002)
	finish(t, first)
	leave(t, second)
	equal(t, "locks left", len(server.locks()), 0)
	s := begin(t, one, again, all...)
	equal(t, "known", known(s, all...), all[1000]+" "+all[1999])
	finish(t, s)
	s = begin(t, two, news, all...)
	equal(t, "known under the first Message-ID", known(s, all...), all[1000]+" "+all[1999])
	finish(t, s)
	equal(t, "records", len(server.keys("sent:*")), 0)
}
