// Package test holds the compose files against the compose specification, against
// each other and against sendguard. It is a module of its own, so that sendguard needs
// nothing of what it needs.
package test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// files are the compose files with the configuration that each mounts.
var files = map[string]string{"compose.yaml": "beside", "compose.network.yaml": "network"}

// load reads a file as docker compose does: strictly, with what the README has set.
func load(t *testing.T, file string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join("..", file)}, cli.WithEnv([]string{
		"SENDGUARD_UPSTREAM=smtp.example.com:587", "SENDGUARD_UPSTREAM_TLS=starttls", "SENDGUARD_USERNAME=robot@example.com", "SENDGUARD_APP_PASSWORD=secret",
	}))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return project
}

func service(t *testing.T, p *types.Project, name string) types.ServiceConfig {
	t.Helper()
	s, err := p.GetService(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// said is what a pattern finds in a text, its one group.
func said(t *testing.T, text, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)` + pattern).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("nothing reads %s in\n%s", pattern, text)
	}
	return m[1]
}

func TestTheGuardHasNoMoreRightsThanItNeeds(t *testing.T) {
	for file := range files {
		s := service(t, load(t, file), "sendguard")
		if !s.ReadOnly || s.Privileged || s.User != "" || !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.CapAdd) > 0 || !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) {
			t.Errorf("%s: read-only %v, privileged %v, user %q, capabilities less %v and %v, %v", file, s.ReadOnly, s.Privileged, s.User, s.CapDrop, s.CapAdd, s.SecurityOpt)
		}
		var writable []string
		for _, v := range s.Volumes {
			if !v.ReadOnly {
				writable = append(writable, v.Target)
			}
		}
		if want := said(t, read(t, "../container/Containerfile"), `^VOLUME (\S+)$`); !slices.Equal(writable, []string{want}) {
			t.Errorf("%s: %v can be written to, the image says %s", file, writable, want)
		}
	}
}

func TestWhatIsMountedIsThere(t *testing.T) {
	for file, folder := range files {
		p := load(t, file)
		for _, s := range p.Services {
			for _, v := range s.Volumes {
				if v.Type != types.VolumeTypeBind {
					continue
				}
				if _, err := os.Stat(v.Source); err != nil {
					t.Errorf("%s: %s: %v", file, s.Name, err)
				}
				if s.Name == "sendguard" && (filepath.Base(v.Source) != folder || v.Target != "/etc/sendguard") {
					t.Errorf("%s: the configuration is %s at %s", file, v.Source, v.Target)
				}
			}
		}
		for name, c := range p.Configs {
			if _, err := os.Stat(c.File); err != nil {
				t.Errorf("%s: config %s: %v", file, name, err)
			}
		}
	}
}

// TestTheGuardReadsThePassedSecrets: each that its configuration names is passed, and
// each that is passed is named.
func TestTheGuardReadsThePassedSecrets(t *testing.T) {
	for file, folder := range files {
		var passed, named []string
		for _, secret := range service(t, load(t, file), "sendguard").Secrets {
			passed = append(passed, secret.Source)
		}
		for _, m := range regexp.MustCompile(`/run/secrets/(\w+)`).FindAllStringSubmatch(read(t, folder+"/config.yaml"), -1) {
			named = append(named, m[1])
		}
		slices.Sort(passed)
		slices.Sort(named)
		if len(named) == 0 || !slices.Equal(passed, named) {
			t.Errorf("%s passes %v, and %s names %v", file, passed, folder, named)
		}
	}
}

func TestTheHealthCheckAsksWhereTheGuardAnswers(t *testing.T) {
	for file, folder := range files {
		s := service(t, load(t, file), "sendguard")
		listen := "127.0.0.1:9587" // the default
		if text := read(t, folder+"/config.yaml"); strings.Contains(text, "\nmetrics:") {
			listen = said(t, text, `^metrics:\n  listen: (\S+)`)
		}
		_, port, err := net.SplitHostPort(listen)
		if want := []string{"CMD", "sendguard", "healthcheck", "--address", "127.0.0.1:" + port}; err != nil || !slices.Equal(s.HealthCheck.Test, want) {
			t.Errorf("%s: asks %v, want %v (%v)", file, s.HealthCheck.Test, want, err)
		}
		const shutdown = 25 * time.Second // the default of server.shutdown
		if s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) <= shutdown {
			t.Errorf("%s: has %v to stop, and may take %v", file, s.StopGracePeriod, shutdown)
		}
	}
}

func TestTheApplicationBesideSharesTheNetworkAndStartsWhenTheGuardIsReady(t *testing.T) {
	p := load(t, "compose.yaml")
	application := service(t, p, "application")
	if application.NetworkMode != "service:sendguard" {
		t.Errorf("its network is %q", application.NetworkMode)
	}
	if d := application.DependsOn["sendguard"]; d.Condition != types.ServiceConditionHealthy || !d.Restart {
		t.Errorf("it depends on %+v", d)
	}
	listen := said(t, read(t, "beside/config.yaml"), `^    listen: (127\.0\.0\.1:\d+)`)
	if command := strings.Join(application.Command, " "); !strings.Contains(command, "sendmail -S "+listen+" ") {
		t.Errorf("the guard listens on %s, and it runs %s", listen, command)
	}
}

func TestPrometheusAndGrafanaFindWhatTheyShow(t *testing.T) {
	p := load(t, "compose.yaml")
	_, port, err := net.SplitHostPort(said(t, read(t, "beside/config.yaml"), `^metrics:\n  listen: (0\.0\.0\.0:\d+)`))
	if target := said(t, read(t, "prometheus.yml"), `targets: \["([^"]+)"\]`); err != nil || target != "sendguard:"+port {
		t.Errorf("Prometheus asks %s, and the guard answers on port %s", target, port)
	}
	if len(service(t, p, "sendguard").Ports) > 0 {
		t.Error("the guard's ports are published")
	}
	asked := said(t, read(t, "grafana/datasources/prometheus.yaml"), `url: http://(\S+)`)
	for _, s := range p.Services {
		for _, published := range s.Ports {
			if published.HostIP != "127.0.0.1" {
				t.Errorf("%s is published to %q", s.Name, published.HostIP)
			}
		}
	}
	if asked != "prometheus:9090" || service(t, p, "prometheus").Ports[0].Target != 9090 {
		t.Errorf("Grafana asks %s", asked)
	}
}

func TestTheApplicationsOfTheNetworkAreThoseThatAllowNames(t *testing.T) {
	p := load(t, "compose.network.yaml")
	mail := p.Networks["mail"]
	allow := said(t, read(t, "network/config.yaml"), `^    allow: \[([^\]]+)\]`)
	if !mail.Internal || len(mail.Ipam.Config) != 1 || mail.Ipam.Config[0].Subnet != allow {
		t.Errorf("the network is %+v, and allow names %s", mail.Ipam, allow)
	}
	application := service(t, p, "application")
	if _, ok := application.Networks["mail"]; !ok || len(application.Networks) != 1 {
		t.Errorf("the application is in %v", application.Networks)
	}
	_, port, _ := net.SplitHostPort(said(t, read(t, "network/config.yaml"), `^  *listen: (\S+)`))
	if command := application.Command; command[0] != "smtp://sendguard:"+port || !slices.Contains(command, "--ssl-reqd") {
		t.Errorf("it runs %v", command)
	}
}

// TestTheConfigurationsAreGood has sendguard read them, with secrets in another folder.
func TestTheConfigurationsAreGood(t *testing.T) {
	program, secrets := filepath.Join(t.TempDir(), "sendguard"), t.TempDir()
	run := func(input, name string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir, cmd.Stdin = "../../..", strings.NewReader(input)
		cmd.Env = append(os.Environ(), "SENDGUARD_UPSTREAM=smtp.example.com:587", "SENDGUARD_UPSTREAM_TLS=starttls", "SENDGUARD_USERNAME=robot@example.com")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	run("", "go", "build", "-o", program, "./cmd/sendguard")
	run("", program, "cert", "sendguard", "--dir", secrets)
	run("secret\n", program, "user", "app", "--file", filepath.Join(secrets, "users"))
	for name, from := range map[string]string{"tls_cert": "cert.pem", "tls_key": "key.pem"} {
		if err := os.Rename(filepath.Join(secrets, from), filepath.Join(secrets, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(secrets, "smtp_password"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, folder := range files {
		text := strings.NewReplacer("/run/secrets", secrets, "/var/lib/sendguard", secrets).Replace(read(t, folder+"/config.yaml"))
		path := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		run("", program, "config", "--config", path)
	}
}
