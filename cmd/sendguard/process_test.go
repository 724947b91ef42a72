//go:build unix

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"sendguard/cmd/sendguard/maildrop"
)

// A process is sendguard as a process of its own, with a file that the test
// may change.
type process struct {
	t       *testing.T
	cmd     *exec.Cmd
	out     *lines
	config  string
	drop    *maildrop.Server
	addr    string // of route work
	metrics string
}

// startProcess runs serve with more of a configuration behind its routes; env
// are further variables.
func startProcess(t *testing.T, more string, env ...string) *process {
	t.Helper()
	return startBy(t, `exec "$0" serve --config "$1"`, more, env...)
}

// startBy is startProcess by a line for the shell.
func startBy(t *testing.T, line, more string, env ...string) *process {
	t.Helper()
	drop, err := maildrop.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { drop.Close() })
	p := &process{t: t, drop: drop, out: &lines{changed: make(chan struct{}, 1)}, config: filepath.Join(t.TempDir(), "c.yaml")}
	p.write(more)
	p.cmd = exec.CommandContext(t.Context(), "sh", "-c", line, os.Args[0], p.config)
	p.cmd.Env = append(append(os.Environ(), asChild+"=1"), env...)
	p.cmd.Stderr = p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill(); p.cmd.Wait() })
	p.addr = p.out.find(t, listening("work"))[1]
	p.metrics = p.out.find(t, `msg"?[=:]"?metrics"?.*listen"?[=:]"?([^\s",}]+)`)[1]
	return p
}

func (p *process) route(name, listen string) string {
	return fmt.Sprintf("  - {name: %s, listen: \"%s\", upstream: {address: \"%s\", tls: none, auth: none}}\n", name, listen, p.drop.Addr())
}

// text is a configuration; more comes behind the route work.
func (p *process) text(more string) string {
	if !strings.Contains(more, "metrics:") {
		more += "metrics: {listen: 127.0.0.1:0}\n"
	}
	return "routes:\n" + p.route("work", "127.0.0.1:0") + more
}

// write replaces the configuration, see text.
func (p *process) write(more string) {
	p.t.Helper()
	if err := os.WriteFile(p.config, []byte(p.text(more)), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// reload writes another configuration and waits until the log says, for the
// nth time, what pattern is.
func (p *process) reload(more, pattern string, n int) {
	p.t.Helper()
	p.write(more)
	p.signal(syscall.SIGHUP)
	p.out.find(p.t, fmt.Sprintf("(?s)(%s.*){%d}", pattern, n))
}

const loaded = `msg="configuration loaded again"`

func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("it ended with %v\n%s", err, p.out.String())
	}
}

// gauge scrapes one value.
func (p *process) gauge(name string) string {
	p.t.Helper()
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}).Get("http://" + p.metrics + "/metrics")
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(string(body))
	if m == nil {
		p.t.Fatalf("no %s: %v\n%s", name, err, body)
	}
	return m[1]
}

const (
	successful = "sendguard_config_last_reload_successful"
	successAt  = "sendguard_config_last_reload_success_timestamp_seconds"
)

// A talk is a session with the guard.
type talk struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func (p *process) talk() *talk {
	p.t.Helper()
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(2 * patience))
	c := &talk{p.t, conn, bufio.NewReader(conn)}
	c.say("", "220")
	c.say("EHLO client.test\r\n", "250")
	return c
}

func (c *talk) say(text, want string) {
	c.t.Helper()
	io.WriteString(c.conn, text)
	for {
		line, err := c.r.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, want) {
			c.t.Fatalf("%q got %q, %v; want %s", text, line, err, want)
		}
		if line[3] != '-' {
			return
		}
	}
}

func (c *talk) begin(want string) {
	c.t.Helper()
	c.say("MAIL FROM:<me@home.example>\r\n", "250")
	c.say("RCPT TO:<you@there.example>\r\n", "250")
	c.say("DATA\r\n", want)
}
