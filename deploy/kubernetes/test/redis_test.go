package test

import (
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

var redisState = regexp.MustCompile(`redis://:\$\{REDIS_PASSWORD\}@([\w-]+):(\d+)/0`)

// withRedis starts a Redis as the manifests have it, and has the guard find it here.
// A guard without one is left as it is.
func (p placed) withRedis(t *testing.T) {
	t.Helper()
	rewrite(t, p.config, func(text string) string {
		found := redisState.FindStringSubmatch(text)
		if found == nil {
			return text
		}
		if !p.hasService(found[1], found[2]) {
			t.Errorf("no Service is %s:%s", found[1], found[2])
		}
		t.Setenv("REDIS_PASSWORD", "5ec2e7")
		return strings.ReplaceAll(text, found[1]+":"+found[2], p.startRedis(t))
	})
}

func (p placed) hasService(name, port string) bool {
	return slices.ContainsFunc(all[*corev1.Service](p.cluster), func(s *corev1.Service) bool {
		return s.Name == name && slices.ContainsFunc(s.Spec.Ports, func(sp corev1.ServicePort) bool {
			return port == strconv.Itoa(int(sp.Port))
		})
	})
}

// startRedis starts it with the command and the configuration of its container, and
// looks that it loses and evicts nothing.
func (p placed) startRedis(t *testing.T) (address string) {
	t.Helper()
	server, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("NOT TESTED: there is no redis-server")
	}
	address = freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	dir := t.TempDir()
	for _, w := range p.workloads() {
		if w.Name != "sendguard-redis" {
			continue
		}
		args := slices.Clone(w.pod.Spec.Containers[0].Command)
		args[1] = filepath.Join(dir, "redis.conf")
		p.lay(t, args[1], "redis.conf")
		rewrite(t, args[1], func(text string) string { return strings.ReplaceAll(text, "/data", dir) })
		for i, a := range args {
			args[i] = strings.ReplaceAll(a, "$(REDIS_PASSWORD)", "5ec2e7")
		}
		cmd := exec.Command(server, append(args[1:], "--port", port, "--bind", "127.0.0.1")...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cmd.Process.Kill()
			cmd.Wait()
		})
	}
	for key, want := range map[string]string{"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"} {
		if got := asked(t, port, "CONFIG", "GET", key); !strings.HasSuffix(got, want) {
			t.Errorf("Redis has %s", got)
		}
	}
	return address
}

// asked asks Redis until it answers.
func asked(t *testing.T, port string, command ...string) string {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		out, err := exec.Command("redis-cli", append([]string{"-p", port, "--no-auth-warning", "-a", "5ec2e7"}, command...)...).CombinedOutput()
		if err == nil {
			return strings.TrimSpace(string(out))
		}
		if time.Now().After(end) {
			t.Fatalf("%v: %s", err, out)
		}
	}
}
