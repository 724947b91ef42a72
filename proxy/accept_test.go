package proxy

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"
)

func TestAcceptLoopsSayThatTheyLive(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u)
	path := filepath.Join(t.TempDir(), "s")
	g.mustReload(u, []Route{{Name: "more", Listen: UnixPrefix + path, SocketMode: 0o600, Upstream: g.routes[0].config.Upstream}})
	check := func(limit time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		return g.CheckAlive(ctx)
	}
	for range 3 {
		if err := check(patience); err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			g.dialAt(g.Addr(i)).want("220")
		}
	}
	g.mu.Lock() // a loop that hands a connection on waits for it
	c, err := g.tryDial()
	if err == nil {
		defer c.Close()
		err = errors.New("a loop that stands still was taken for alive")
		for stop := time.Now().Add(patience); time.Now().Before(stop); {
			if check(50*time.Millisecond) != nil {
				err = nil
				break
			}
		}
	}
	g.mu.Unlock()
	if err != nil {
		t.Error(err)
	}
	if err := check(patience); err != nil {
		t.Errorf("it was blocked, and no longer is: %v", err)
	}
}
