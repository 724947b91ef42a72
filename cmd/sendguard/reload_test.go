//go:build unix

package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sendguard/cmd/sendguard/maildrop"
)

const showsThree = "From: me@home.example\r\nTo: a@x.example, b@y.example, c@z.example\r\n\r\nHello\r\n.\r\n"

func TestAHangupLoadsTheConfigurationAgain(t *testing.T) {
	p := startProcess(t, "")
	first := p.gauge(successAt)
	idle, open := p.talk(), p.talk()
	open.begin("354")
	p.reload("policy: {limits: {external: 2}, rules: [{name: late, match: {reply: true}, action: report}]}\n", loaded+" routes=1 rules=1", 1)
	idle.begin("354")
	idle.say(showsThree, "550 5.7.1")
	open.say(showsThree, "250")
	if n := p.gauge(`sendguard_concealed_addresses_total{route="work",rule="late"}`); n != "0" {
		t.Errorf("the new rule has %s", n)
	}
	if p.gauge(successful) != "1" || p.gauge(successAt) == first {
		t.Errorf("%s, loaded at %s and %s", p.gauge(successful), first, p.gauge(successAt))
	}
	p.stop()
}

func TestReloadFindsTheGuardOfItsConfiguration(t *testing.T) {
	p, other := startProcess(t, ""), startProcess(t, "")
	p.write("policy: {limits: {external: 2}}\n")
	status, stdout, stderr := command(t, "reload", "--config", p.config)
	if want := fmt.Sprintf("process %d was told to load %s again; its log says how that went\n", p.cmd.Process.Pid, p.config); status != 0 || stdout != want {
		t.Errorf("%d %q %q", status, stdout, stderr)
	}
	p.out.find(t, loaded)
	p.stop()
	other.stop()
	if strings.Contains(other.out.String(), loaded) {
		t.Error("the other one was told, too")
	}
	for _, path := range []string{p.config, "/no/such/file"} {
		if status, stdout, stderr := command(t, "reload", "--config", path); status != 1 || stdout != "" || stderr != "no guard runs with "+path+", or none that you may see\n" {
			t.Errorf("%d %q %q", status, stdout, stderr)
		}
	}
}

// TestReloadDoesNotBelieveAKilledGuard: its process number may be another's by now.
func TestReloadDoesNotBelieveAKilledGuard(t *testing.T) {
	p := startProcess(t, "")
	p.signal(syscall.SIGKILL)
	p.cmd.Wait()
	if status, _, stderr := command(t, "reload", "--config", p.config); status != 1 || !strings.Contains(stderr, "no guard runs") {
		t.Errorf("%d %q", status, stderr)
	}
}

func TestAFileWithMistakesChangesNothingAndTellsNoSecret(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	p := startProcess(t, "policy: {limits: {external: 2}}\n")
	first := p.gauge(successAt)
	upstream := func(rest string) string {
		return "  - listen: 127.0.0.1:0\n    upstream: {address: \"127.0.0.1:25\", tls: none, auth: login, username: hunter1, " + rest + "}\n"
	}
	for text, want := range map[string]string{
		"policy: {limits: {externl: 2}}\n":                                  `c.yaml:3: policy.limits.externl: unknown key`,
		"polcy: {}\nserver: {idle: soon}\n":                                 `c.yaml:4: server.idle: \\"…\\" is not a duration like 30s or 5m`,
		"policy: [\n":                                                       `not YAML: `,
		upstream("password: *hunter2"):                                      `not YAML: unknown anchor referenced`,
		upstream("password:hunter2"):                                        `c.yaml:4: routes\[1\].upstream.password…: unknown key`,
		upstream("password: hunter2, tsl: x"):                               `c.yaml:4: routes\[1\].upstream.tsl: unknown key`,
		upstream("password: {hunter2: x}"):                                  `c.yaml:4: routes\[1\].upstream.password: want a single value`,
		upstream("password: \"hunter2\\n\""):                                `c.yaml:4: routes\[1\].upstream.username: a user name or password cannot have control`,
		"policy: {internal_domains: [\"@hunter.example\"]}\n":               `c.yaml:3: policy.internal_domains: \\"…\\" is not a domain`,
		"policy: {rules: [{match: {from: [\"a\\\"b.hunter.example\"]}}]}\n": `c.yaml:3: policy.rules\[0\].match.from: \\"…\\" is not an address`,
		"policy: {action: block}\n":                                         `c.yaml:3: policy.action: \\"…\\" is none of allow`,
		upstream("password_command: exit 3"):                                `c.yaml:4: routes\[1\].upstream.password_command: exit status 3`,
		p.route("other", taken.Addr().String()):                             `cannot listen: .*address already in use`,
		p.route("other", "unix:/nowhere/at/all"):                            `cannot listen: .*no such file`,
	} {
		if !strings.HasPrefix(text, "pol") {
			text += "policy: {limits: {external: 50}}\n"
		}
		p.reload(text, `msg="the configuration cannot be loaded, the one before it stays" error="?.*`+want, 1)
		if n := p.gauge(successful); n != "0" {
			t.Errorf("%s: successful is %s", want, n)
		}
		c := p.talk()
		c.begin("354")
		c.say(showsThree, "550 5.7.1")
	}
	if strings.Contains(p.out.String(), "hunter") {
		t.Errorf("the log tells a secret:\n%s", p.out.String())
	}
	if p.gauge(successAt) != first {
		t.Error("the time of success has changed")
	}
	p.reload("", loaded, 1)
	if n := p.gauge(successful); n != "1" {
		t.Errorf("then successful is %s", n)
	}
	p.stop()
}

func TestWhatNeedsARestartIsTold(t *testing.T) {
	s, env := newSystemd(t)
	p := startProcess(t, "", env)
	s.next("READY=1\nSTATUS=.*")
	p.reload("metrics: {listen: localhost:0}\nlog: {format: json, level: debug}\npolicy: {individual: {state: \"bolt:s\"}}\n", loaded, 1)
	for _, key := range []string{"metrics.listen", "log.format", "policy.individual.state"} {
		p.out.find(t, `level=WARN msg="a changed key takes effect after a restart only" key=`+key)
	}
	p.gauge(successful) // where it was served before
	p.write("log: {level: error}\n")
	p.signal(syscall.SIGHUP)
	for range 2 {
		s.next("(?s)RELOADING=1\n.*")
		s.next("READY=1\nSTATUS=.*")
	}
	p.stop()
	if strings.Contains(p.out.String(), "msg=stopped") {
		t.Errorf("the level of the log has not changed:\n%s", p.out.String())
	}
}

// TestASignalStormLosesNothing: with another limit each time, and a route that
// comes and goes.
func TestASignalStormLosesNothing(t *testing.T) {
	p := startProcess(t, "")
	const clients, messages, signals = 8, 25, 100
	sent := make(chan struct{}, clients*messages)
	var senders sync.WaitGroup
	for n := range clients {
		senders.Go(func() {
			for i := range messages {
				text := fmt.Sprintf("From: me@home.example\nTo: you@there.example\nSubject: number %d-%d.\n\nHello\n", n, i)
				if reply, err := maildrop.Send(p.addr, "me@home.example", []string{"you@there.example"}, text); err != nil || !strings.HasPrefix(reply, "250") {
					t.Errorf("message %d-%d: %q, %v", n, i, reply, err)
				}
				sent <- struct{}{}
			}
		})
	}
	sock := filepath.Join(t.TempDir(), "s")
	for n := range signals {
		more := fmt.Sprintf("policy: {limits: {external: %d}}\n", 10+n)
		if n%2 == 1 {
			more = p.route("more", "unix:"+sock) + more
		}
		if err := os.WriteFile(p.config+".new", []byte("routes:\n"+p.route("work", "127.0.0.1:0")+more+"metrics: {listen: 127.0.0.1:0}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(p.config+".new", p.config); err != nil {
			t.Fatal(err)
		}
		p.signal(syscall.SIGHUP)
		for range clients * messages / signals { // so that they keep pace
			<-sent
		}
	}
	senders.Wait()
	got, err := p.drop.Messages()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, m := range got {
		seen[regexp.MustCompile(`number \d+-\d+\.`).FindString(m)]++
	}
	if len(got) != clients*messages || len(seen) != clients*messages {
		t.Errorf("%d messages arrived, %d of them different; %d were sent", len(got), len(seen), clients*messages)
	}
	p.signal(syscall.SIGHUP)
	p.stop()
	if bad := regexp.MustCompile(`(?m)^.*(level=ERROR|DATA RACE|panic).*$`).FindString(p.out.String()); bad != "" {
		t.Errorf("the log has %s", bad)
	}
	t.Logf("%d reloads for %d signals", strings.Count(p.out.String(), loaded), signals)
}

func TestAStopDuringAReloadEndsBoth(t *testing.T) {
	p := startProcess(t, "")
	mark := filepath.Join(t.TempDir(), "mark")
	if err := syscall.Mkfifo(mark, 0o600); err != nil {
		t.Fatal(err)
	}
	p.write("  - listen: 127.0.0.1:0\n    upstream: {address: \"127.0.0.1:25\", tls: none, auth: login, username: me, password_command: \"echo > " + mark + "; exec sleep 60\"}\n")
	p.signal(syscall.SIGHUP)
	if _, err := os.ReadFile(mark); err != nil { // the command runs
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	begun := time.Now()
	p.stop()
	if took := time.Since(begun); took > patience {
		t.Errorf("the stop took %v", took)
	}
	if strings.Contains(p.out.String(), loaded) || strings.Contains(p.out.String(), "level=ERROR") {
		t.Errorf("a reload came through or failed:\n%s", p.out.String())
	}
}

// TestAStopDoesNotWaitForAFileThatNobodyGives: a pipe without a writer stands for a
// network file system that does not answer.
func TestAStopDoesNotWaitForAFileThatNobodyGives(t *testing.T) {
	s, env := newSystemd(t)
	p := startProcess(t, "", env)
	s.next("READY=1\nSTATUS=.*")
	if err := os.Remove(p.config); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(p.config, 0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	s.next("(?s)RELOADING=1\n.*")
	p.stop()
	p.out.find(t, `level=WARN msg="a reload still waits for a file, and is left behind"`)
}
