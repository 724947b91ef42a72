package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sendguard/cmd/sendguard/maildrop"
)

// asChild has this program be sendguard, for tests that need a process.
const asChild = "SENDGUARD_TEST_CHILD"

// startWith runs sendguard as systemd would, with sockets that have names.
func startWith(t *testing.T, config string, names string, sockets ...*os.File) (*exec.Cmd, *lines) {
	t.Helper()
	// The process that has the sockets must be the one in LISTEN_PID.
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `LISTEN_PID=$$ exec "$0" serve --config "$1"`, os.Args[0], config)
	cmd.Env = append(os.Environ(), asChild+"=1", fmt.Sprintf("LISTEN_FDS=%d", len(sockets)), "LISTEN_FDNAMES="+names)
	cmd.ExtraFiles = sockets
	out := &lines{changed: make(chan struct{}, 1)}
	cmd.Stderr = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd, out
}

// handOver gives the socket of a listener away.
func handOver(t *testing.T, l interface{ File() (*os.File, error) }) *os.File {
	t.Helper()
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestSocketsOfSystemdAreServed(t *testing.T) {
	drop, err := maildrop.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer drop.Close()
	var sockets []*os.File
	var addrs []string
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		sockets, addrs = append(sockets, handOver(t, l.(*net.TCPListener))), append(addrs, l.Addr().String())
	}
	upstream := "    upstream: {address: \"" + drop.Addr() + "\", tls: none}\n"
	config := writeConfig(t, "routes:\n  - listen: systemd:smtp\n"+upstream+"  - listen: systemd:other\n"+upstream+"metrics: {listen: 127.0.0.1:0}\n")
	cmd, out := startWith(t, config, "smtp:other:smtp", sockets...)
	out.find(t, "msg=metrics")
	for i, addr := range addrs {
		reply, err := maildrop.Send(addr, "me@home.example", []string{"you@there.example"}, "From: me@home.example\nTo: you@there.example\n\nHello\n")
		if err != nil || !strings.HasPrefix(reply, "250") {
			t.Errorf("socket %d: %q, %v", i, reply, err)
		}
	}
	for route, n := range map[string]int{"route1": 2, "route2": 1} {
		out.find(t, fmt.Sprintf("(?s)(msg=message route=%s session=\\d+ outcome=accepted.*){%d}", route, n))
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

func TestAnOpenDoorThatSystemdMakesIsNoStart(t *testing.T) {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	config := writeConfig(t, strings.Replace(minimal, "127.0.0.1:1587", "systemd:smtp", 1))
	cmd, out := startWith(t, config, "smtp", handOver(t, l.(*net.TCPListener)))
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != exitUsage {
		t.Errorf("it ended with %v", err)
	}
	out.find(t, `c\.yaml:2: routes\[0\]\.allow: is needed: other machines can reach systemd:smtp;`)
}

func TestServeTakesMailOverTLS(t *testing.T) {
	dir := withCertificate(t)
	drop, err := maildrop.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer drop.Close()
	path := filepath.Join(dir, "c.yaml")
	text := "routes:\n  - listen: 127.0.0.1:0\n    tls: {cert: cert.pem, key: key.pem, mode: implicit}\n    upstream: {address: \"" + drop.Addr() + "\", tls: none}\nmetrics: {listen: 127.0.0.1:0}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out := &lines{changed: make(chan struct{}, 1)}
	ctx, stop := context.WithCancel(t.Context())
	status := make(chan int)
	go func() { status <- run(ctx, []string{"serve", "--config", path}, out, out) }()
	addr := out.find(t, `msg=listening route=route1 listen=(\S+)`)[1]
	roots := x509.NewCertPool()
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil || !roots.AppendCertsFromPEM(ca) {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: roots, ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	greeting := make([]byte, 4)
	if _, err := conn.Read(greeting); err != nil || string(greeting) != "220 " {
		t.Errorf("greeted with %q, %v", greeting, err)
	}
	conn.Close()
	stop()
	if code := <-status; code != 0 {
		t.Errorf("ended with %d", code)
	}
}
