package test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const patience = time.Minute

// A placed guard is the container of a Pod, its volumes laid out in a folder.
type placed struct {
	cluster
	workload
	guard  corev1.Container
	config string // its configuration, which names the files where they are here
}

// place lays out what the guard mounts, with a certificate and users that sendguard
// itself has made.
func (c cluster) place(t *testing.T) placed {
	t.Helper()
	w := c.guarded(t)
	guard, _ := w.guard()
	p := placed{cluster: c, workload: w, guard: guard}
	root := t.TempDir()
	var moved []string
	for _, m := range guard.VolumeMounts {
		dir := filepath.Join(root, m.MountPath)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, file := range w.mounted(c.keys(w.Namespace), m.Name) {
			p.lay(t, filepath.Join(dir, file), file)
		}
		moved = append(moved, m.MountPath, dir)
	}
	p.config = filepath.Join(root, guard.Args[slices.Index(guard.Args, "--config")+1])
	rewrite(t, p.config, func(text string) string { return strings.NewReplacer(moved...).Replace(text) })
	return p
}

// lay makes one file of a volume.
func (p placed) lay(t *testing.T, path, name string) {
	t.Helper()
	dir := filepath.Dir(path)
	switch name {
	case "", "ca.crt":
		return
	case "users":
		sendguard(t, "pa55word\n", "user", "app", "--file", path)
		return
	case "tls.key":
		return // comes with the next
	case "tls.crt":
		sendguard(t, "", "cert", "sendguard.sendguard.svc", "--dir", dir)
		for from, to := range map[string]string{"cert.pem": "tls.crt", "key.pem": "tls.key"} {
			if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	content := "5ec2e7"
	for _, m := range all[*corev1.ConfigMap](p.cluster) {
		if text, ok := m.Data[name]; ok {
			content = text
		}
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func rewrite(t *testing.T, path string, change func(string) string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte(change(string(text))), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// value is that of a key of the configuration.
func (p placed) value(t *testing.T, key string) string {
	t.Helper()
	text, err := os.ReadFile(p.config)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^ *` + key + `: "?([^\s"]+)`).FindSubmatch(text)
	if found == nil {
		t.Fatalf("the configuration has no %s", key)
	}
	return string(found[1])
}

func TestTheGuardEndsWithinTheGraceOfItsPod(t *testing.T) {
	everywhere(t, func(t *testing.T, c cluster) {
		p := c.place(t)
		shutdown, err := time.ParseDuration(p.value(t, "shutdown"))
		if err != nil {
			t.Fatal(err)
		}
		if p.guard.Lifecycle != nil {
			shutdown += time.Duration(p.guard.Lifecycle.PreStop.Sleep.Seconds) * time.Second
		}
		if grace := time.Duration(*p.pod.Spec.TerminationGracePeriodSeconds) * time.Second; grace < shutdown+5*time.Second {
			t.Errorf("%v to end, of %v", shutdown, grace)
		}
	})
}

func TestWhatTheGuardHoldsFitsIntoItsMemory(t *testing.T) {
	everywhere(t, func(t *testing.T, c cluster) {
		p := c.place(t)
		held, err := strconv.ParseInt(p.value(t, "buffer_bytes"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(p.guard.Env, func(e corev1.EnvVar) bool { return e.Name == "GOMEMLIMIT" })
		soft := resource.MustParse(strings.TrimSuffix(p.guard.Env[at].Value, "B"))
		if limit := p.guard.Resources.Limits.Memory().Value(); held > soft.Value()*2/3 || soft.Value() > limit*9/10 {
			t.Errorf("%d held, GOMEMLIMIT %d, limit %d", held, soft.Value(), limit)
		}
	})
}

// The configuration is good in the place that the Pod gives it, with the Redis
// that the manifests describe; then the guard serves, and is asked what the
// kubelet, Prometheus and clients ask.
func TestTheGuardRunsAsItsPodSays(t *testing.T) {
	everywhere(t, func(t *testing.T, c cluster) {
		p := c.place(t)
		p.withRedis(t)
		t.Log(strings.TrimSpace(sendguard(t, "", "config", "--config", p.config)))
		ports := p.listenHere(t)
		run := p.serve(t)
		for _, probe := range []*corev1.Probe{p.guard.StartupProbe, p.guard.ReadinessProbe, p.guard.LivenessProbe} {
			get(t, ports[number(p.guard, probe.HTTPGet.Port)], probe.HTTPGet.Path)
		}
		get(t, ports["9587"], "/metrics")
		for port, address := range ports {
			if port != "9587" {
				greeted(t, address, port == "2587")
			}
		}
		run.Signal(syscall.SIGTERM)
	})
}

// number is a port of a container, as the configuration has it.
func number(c corev1.Container, port intstr.IntOrString) string {
	for _, p := range c.Ports {
		if p.Name == port.StrVal {
			return strconv.Itoa(int(p.ContainerPort))
		}
	}
	return port.String()
}

// listenHere has the guard listen on free ports of 127.0.0.1, for who is here. Each that is not for
// the Pod alone is a port of the container, and each of these is listened at.
func (p placed) listenHere(t *testing.T) map[string]string {
	t.Helper()
	here, open := map[string]string{}, 0
	listen := regexp.MustCompile(`listen: "?([0-9.]*):(\d+)"?`)
	rewrite(t, p.config, func(text string) string {
		text = strings.ReplaceAll(text, "10.0.0.0/8", "127.0.0.0/8")
		return listen.ReplaceAllStringFunc(text, func(line string) string {
			found := listen.FindStringSubmatch(line)
			port, _ := strconv.Atoi(found[2])
			if found[1] == "" {
				open++
				if !listens(p.guard, intstr.FromInt(port)) {
					t.Errorf("the container has no port %d", port)
				}
			}
			here[found[2]] = freeAddress(t)
			return "listen: " + here[found[2]]
		})
	})
	if open != len(p.guard.Ports) {
		t.Errorf("of %d ports, %d are listened at", len(p.guard.Ports), open)
	}
	return here
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// serve starts the guard with the arguments of the container, and ends it.
func (p placed) serve(t *testing.T) *os.Process {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	args := slices.Clone(p.guard.Args)
	args[slices.Index(args, "--config")+1] = p.config
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "REDIS_PASSWORD=5ec2e7")
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Wait(); err != nil {
			t.Errorf("it ended with %v", err)
		}
	})
	return cmd.Process
}

// get asks until there is an answer, as the kubelet does.
func get(t *testing.T, address, path string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("%s: %s", path, resp.Status)
			}
			return
		} else if ctx.Err() != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond) // the listener may not be open yet
	}
}

// greeted looks for the greeting, behind a PROXY header where one is due.
func greeted(t *testing.T, address string, proxied bool) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if proxied {
		fmt.Fprint(conn, "PROXY TCP4 192.0.2.7 192.0.2.1 40000 587\r\n")
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); !strings.HasPrefix(line, "220 ") {
		t.Errorf("%s: %q, %v", address, line, err)
	}
}
