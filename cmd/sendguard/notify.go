package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// A notifier tells systemd how the service does (sd_notify(3)), where the
// environment says that it listens. Of what is told nothing names an address.
type notifier struct {
	log *slog.Logger

	mu    sync.Mutex
	ended bool // nothing is told after the start of a stop
}

func (n *notifier) ready(status string) { n.tell(daemon.SdNotifyReady, "STATUS="+status) }

// reloading is told with the time, so that systemd knows which signal it
// answers (Type=notify-reload).
func (n *notifier) reloading() {
	n.tell(daemon.SdNotifyReloading, strings.TrimSuffix(daemon.SdNotifyMonotonicUsec(), "\n"))
}

func (n *notifier) stopping(status string) {
	n.tell(daemon.SdNotifyStopping, "STATUS=stopping; "+status)
	n.mu.Lock()
	n.ended = true
	n.mu.Unlock()
}

func (n *notifier) tell(lines ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ended {
		return
	}
	if err := notify(strings.Join(lines, "\n")); err != nil {
		n.log.Warn("systemd could not be told", "error", err)
	}
}

// notifyTime bounds the wait for room in systemd's queue. What the library has
// for this waits for ever.
const notifyTime = 2 * time.Second

// notify sends a state to systemd, where the environment says that it listens.
func notify(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetWriteDeadline(time.Now().Add(notifyTime))
	_, err = conn.Write([]byte(state))
	return err
}

// condition is what the service does, in a few words.
func (s *service) condition() string {
	routes, sessions := s.srv.Counts()
	counts := fmt.Sprintf("%d %s, %d %s", routes, plural(routes, "route"), sessions, plural(sessions, "session"))
	if s.outdated.Load() {
		counts += "; the changed configuration cannot be loaded (see the log), the one before it stays"
	}
	return counts
}

// statusTime is how often systemd is told what the service does where there is
// no watchdog.
const statusTime = 30 * time.Second

// keepAlive tells systemd the status and, where it has a watchdog, that the
// service lives, until ctx ends. A service that does not accept clients, or
// does not answer for its metrics, is left for systemd to restart.
func (s *service) keepAlive(ctx context.Context) {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return
	}
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		s.log.Warn("no watchdog", "error", err)
	}
	every := statusTime
	if limit > 0 {
		every = max(limit/2, time.Millisecond)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		lines := []string{"STATUS=" + s.condition()}
		if limit > 0 && s.alive(ctx, every/2) {
			lines = append(lines, daemon.SdNotifyWatchdog)
		}
		s.systemd.tell(lines...)
	}
}

// alive asks the accept loops and the handler of the metrics.
func (s *service) alive(ctx context.Context, within time.Duration) bool {
	bounded, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err := errors.Join(s.srv.CheckAlive(bounded), s.status.CheckAlive(bounded))
	if err != nil && ctx.Err() == nil {
		s.log.Error("the watchdog is not told that all is well", "error", err)
	}
	return err == nil
}
