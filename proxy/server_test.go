package proxy

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestAStopFinishesWhatIsUnderWayAndEndsTheRest(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u)
	idle := g.greeted()
	busy := g.greeted()
	busy.envelope()
	busy.send(plain)
	u.waitFor("the message to be under way", func() bool { return slices.Contains(u.commands, "DATA") })
	done := make(chan error)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		done <- g.Shutdown(ctx)
	}()
	idle.want("421 4.3.2")
	idle.ended()
	busy.send("the rest\r\n.\r\n")
	busy.want("250 2.0.0 queued")
	busy.want("421 4.3.2")
	busy.ended()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, got, _ := u.got(); !slices.Equal(got, []string{plain + "the rest\r\n"}) {
		t.Errorf("upstream got %q", got)
	}
	if _, err := g.tryDial(); err == nil {
		t.Error("the listener is still open")
	}
}

func TestAStopThatTakesTooLongFinishesNothing(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u)
	busy := g.greeted()
	busy.envelope()
	busy.send(plain)
	u.waitFor("the message to be under way", func() bool { return slices.Contains(u.commands, "DATA") })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := g.Shutdown(ctx); err == nil {
		t.Error("the stop waited for a message that was not finished")
	}
	u.waitFor("the message to break off", func() bool { return len(u.broken) == 1 })
	if _, got, _ := u.got(); len(got) > 0 {
		t.Errorf("upstream got %q", got)
	}
}

func TestAStopDuringALogin(t *testing.T) {
	u := newUpstream(t)
	u.on = func(line string) string { return map[string]string{"AUTH LOGIN": "334 VXNlcm5hbWU6"}[line] }
	g := newGuard(t, u)
	c := g.greeted()
	c.cmd("AUTH LOGIN", "334")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := g.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	c.want("421 4.3.2")
	c.ended()
}

func TestMetricsAreCleanAndStartAtZero(t *testing.T) {
	g := newGuard(t, newUpstream(t))
	problems, err := testutil.GatherAndLint(g.reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	before := g.series()
	for _, name := range []string{"messages_total", "blocked_sends_total", "concealed_addresses_total", "message_outcomes_total", "visible_addresses",
		"message_size_bytes", "message_duration_seconds", "decision_duration_seconds", "open_sessions", "sessions_total", "session_faults_total",
		"upstream_connects_total", "upstream_replies_total", "build_info", "individual_copies_total", "config_last_reload_successful", "config_last_reload_success_timestamp_seconds"} {
		if !slices.ContainsFunc(before, func(s string) bool { return strings.HasPrefix(s, "sendguard_"+name) }) {
			t.Errorf("no sendguard_%s", name)
		}
	}
	c := g.greeted()
	c.message(plain, "250")
	c.message(leaking(43), "550")
	c.message("no header\r\n", "550 5.6.0")
	c.message("Subject: a\rb\r\n\r\n", "550 5.6.0")
	c.message(strings.Replace(leaking(43), "Subject: ", "Subject: [show 43] ", 1), "250")
	c.cmd("QUIT", "221")
	c.ended()
	if after := g.series(); !slices.Equal(after, before) {
		t.Errorf("series came up only now:\n%q\n%q", before, after)
	}
	for _, want := range []struct {
		value  float64
		name   string
		labels []string
	}{
		{1, "messages_total", []string{"rule", "policy", "verdict", "allow", "reason", "none"}},
		{1, "messages_total", []string{"verdict", "reject", "reason", "too_many_external"}},
		{1, "messages_total", []string{"verdict", "override", "reason", "too_many_external"}},
		{1, "messages_total", []string{"verdict", "reject", "reason", "unreadable_header"}},
		{1, "messages_total", []string{"verdict", "reject", "reason", "bare_newline"}},
		{5, "messages_total", nil},
		{3, "blocked_sends_total", nil},
		{43, "concealed_addresses_total", nil},
		{2, "message_outcomes_total", []string{"outcome", "accepted"}},
		{3, "message_outcomes_total", []string{"outcome", "refused_by_policy"}},
		{2, "upstream_replies_total", []string{"command", "message", "class", "2xx"}},
		{3, "upstream_replies_total", []string{"command", "rset", "class", "2xx"}},
		{1, "sessions_total", nil},
	} {
		if got := g.counter("sendguard_"+want.name, want.labels...); got != want.value {
			t.Errorf("%s %v is %v, want %v", want.name, want.labels, got, want.value)
		}
	}
}

// series lists the names and labels of all series of sendguard.
func (g *guard) series() (all []string) {
	families, err := g.reg.Gather()
	if err != nil {
		g.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if strings.HasPrefix(f.GetName(), "sendguard_") {
				all = append(all, f.GetName()+" "+strings.ReplaceAll(strings.Join(labelsOf(m.GetLabel()), ","), "\n", ""))
			}
		}
	}
	slices.Sort(all)
	return all
}

func TestStatusServesMetricsLivezAndReadyz(t *testing.T) {
	g := newGuard(t, newUpstream(t))
	status, err := NewStatus("127.0.0.1:0", "this one", g.metrics, g.Ready)
	if err != nil {
		t.Fatal(err)
	}
	defer status.Close()
	get := func(path string) (int, string) {
		t.Helper()
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + status.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	if code, body := get("/metrics"); code != 200 || !strings.Contains(body, "sendguard_messages_total{") {
		t.Errorf("/metrics: %d %.100s", code, body)
	}
	for _, path := range []string{"/livez", "/readyz"} {
		if code, _ := get(path); code != 200 {
			t.Errorf("%s: %d", path, code)
		}
	}
	if err := CheckReady(t.Context(), status.Addr().String(), "this one"); err != nil {
		t.Error(err)
	}
	if err := g.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if code, _ := get("/readyz"); code != 503 {
		t.Errorf("/readyz while stopping: %d", code)
	}
	if code, _ := get("/livez"); code != 200 {
		t.Errorf("/livez while stopping: %d", code)
	}
	if CheckReady(t.Context(), status.Addr().String(), "") == nil {
		t.Error("ready while stopping")
	}
	http.DefaultClient.CloseIdleConnections()
}
