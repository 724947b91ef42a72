//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sendguard/cmd/sendguard/config"
)

const watching = "server: {watch_config: true}\n"

// showing is a configuration by its limit of outside addresses.
func showing(limit int) string { return fmt.Sprintf("policy: {limits: {external: %d}}\n", limit) }

// loadedAgain waits for the nth reload, and returns how often there was one.
func (p *process) loadedAgain(n int) int {
	p.t.Helper()
	p.out.find(p.t, fmt.Sprintf("(?s)(%s.*){%d}", loaded, n))
	return strings.Count(p.out.String(), loaded)
}

// replace puts another file in the place of the configuration, as editors do.
func (p *process) replace(text string) {
	p.t.Helper()
	if err := os.WriteFile(p.config+".new", []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Rename(p.config+".new", p.config); err != nil {
		p.t.Fatal(err)
	}
}

// link has the configuration be what a volume of Kubernetes has: a link into
// ..data, which is itself a link, and changes in one step to another folder.
func (p *process) link(version int, text string) {
	p.t.Helper()
	volume := filepath.Join(filepath.Dir(p.config), "volume")
	folder := fmt.Sprintf("..%d", version)
	for _, err := range []error{
		os.MkdirAll(filepath.Join(volume, folder), 0o700),
		os.WriteFile(filepath.Join(volume, folder, "c.yaml"), []byte(text), 0o600),
		os.Symlink(folder, filepath.Join(volume, "..data_tmp")),
		os.Rename(filepath.Join(volume, "..data_tmp"), filepath.Join(volume, "..data")),
		os.RemoveAll(filepath.Join(volume, fmt.Sprintf("..%d", version-1))),
	} {
		if err != nil {
			p.t.Fatal(err)
		}
	}
}

func TestAChangedFileIsAReload(t *testing.T) {
	t.Parallel() // it waits most of the time
	p := startProcess(t, watching)
	p.write(watching + showing(2)) // in its place
	p.loadedAgain(1)
	c := p.talk()
	c.begin("354")
	c.say(showsThree, "550 5.7.1")

	p.replace(p.text(watching + showing(3)))
	p.loadedAgain(2)
	c.begin("354")
	c.say(showsThree, "250")

	p.link(1, p.text(watching+showing(2)))
	if err := os.Remove(p.config); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("volume/..data/c.yaml", p.config); err != nil {
		t.Fatal(err)
	}
	p.loadedAgain(3)
	c.begin("354")
	c.say(showsThree, "550 5.7.1")

	p.link(2, p.text(watching+showing(3)))
	if n := p.loadedAgain(4); n != 4 {
		t.Errorf("%d reloads for 4 changes", n)
	}
	c.begin("354")
	c.say(showsThree, "250")
	p.stop()
}

func TestAHalfWrittenFileChangesNothingAndTheRestIsLoaded(t *testing.T) {
	t.Parallel() // it waits most of the time
	p := startProcess(t, watching+showing(2))
	text := p.text(watching + showing(3))
	half, _, _ := strings.Cut(text, "3}")
	p.replace(half)
	p.out.find(t, refused+` error="c.yaml:\d+: not YAML`)
	if n := p.gauge(successful); n != "0" {
		t.Errorf("successful is %s", n)
	}
	c := p.talk()
	c.begin("354")
	c.say(showsThree, "550 5.7.1")
	if err := os.Remove(p.config); err != nil {
		t.Fatal(err)
	}
	p.out.find(t, refused+` error="no such file or directory"`)
	p.replace(text)
	p.loadedAgain(1)
	if n := p.gauge(successful); n != "1" {
		t.Errorf("then successful is %s", n)
	}
	c.begin("354")
	c.say(showsThree, "250")
	p.stop()
	if n := strings.Count(p.out.String(), refused); n != 2 {
		t.Errorf("two mistakes are told %d times", n)
	}
}

// TestAFileThatTheConfigurationNamesIsWatched: also one that is not there yet when
// the text that names it comes.
func TestAFileThatTheConfigurationNamesIsWatched(t *testing.T) {
	t.Parallel() // it waits most of the time
	p := startProcess(t, watching)
	secret := filepath.Join(filepath.Dir(p.config), "secret")
	p.write("  - {name: login, listen: 127.0.0.1:0, upstream: {address: \"127.0.0.1:25\", tls: none, auth: login, username: me, password_file: secret}}\n" + watching)
	p.out.find(t, refused+` error="c.yaml:3: routes\[1\].upstream.password_file: no such file or directory"`)
	for n, password := range []string{"first", "other"} {
		if err := os.WriteFile(secret, []byte(password), 0o600); err != nil {
			t.Fatal(err)
		}
		if times := p.loadedAgain(n + 1); times != n+1 {
			t.Errorf("%d reloads for %d changes", times, n+1)
		}
	}
	p.stop()
}

func TestASignalAndAChangeAtOnceAreOneReload(t *testing.T) {
	t.Parallel() // it waits most of the time
	p := startProcess(t, watching)
	for n := range 3 {
		p.reload(watching+showing(n), loaded, 2*n+1)
		p.replace(p.text(watching + showing(n+10))) // and this one is a change alone
		if times := p.loadedAgain(2*n + 2); times != 2*n+2 {
			t.Errorf("%d reloads, for %d signals and changes", times, 2*n+2)
		}
	}
	p.stop()
}

// TestNothingIsWatchedUnlessItIsAskedFor: another guard tells how long a change
// takes to be found.
func TestNothingIsWatchedUnlessItIsAskedFor(t *testing.T) {
	t.Parallel() // it waits most of the time
	p, other := startProcess(t, ""), startProcess(t, watching)
	p.write(showing(2))
	for n := range 2 {
		other.write(watching + showing(n))
		other.loadedAgain(n + 1)
	}
	other.write(showing(9)) // the last that it finds
	other.loadedAgain(3)
	other.write(watching + showing(10))
	p.reload(watching+showing(3), loaded, 1) // from now on it is
	p.write(watching + showing(4))
	if n := p.loadedAgain(2); n != 2 {
		t.Errorf("%d reloads", n)
	}
	other.signal(syscall.SIGHUP)
	if n := other.loadedAgain(4); n != 4 {
		t.Errorf("%d reloads of the one that no longer looks", n)
	}
	other.stop()
	p.stop()
}

// TestAChangeIsLoadedWhenItIsAtRest: a mark stands for what a look finds.
func TestAChangeIsLoadedWhenItIsAtRest(t *testing.T) {
	mark := func(n int) config.Mark { return config.Mark{byte(n)} }
	for name, c := range map[string]struct {
		looks string // one digit a look; 0 is what is loaded
		want  int    // the look that has it loaded; 0: none
	}{
		"nothing changes":                     {"00000000000000", 0},
		"it changes once":                     {"0011", 4},
		"it changes twice":                    {"0122", 4},
		"it changes and changes back":         {"0100000", 0},
		"it changes back between two changes": {"01011", 5},
		"it never comes to rest":              {"0121212121212", 11},
	} {
		var w watch
		w.loads(mark(0))
		got := 0
		for i, digit := range c.looks {
			if w.changed(mark(int(digit - '0'))) {
				got = i + 1
				break
			}
		}
		if got != c.want {
			t.Errorf("%s: loaded at look %d, want %d", name, got, c.want)
		}
	}
}
