package supervisor

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the files of deploy/ anew")

// deployed are the services of the files in deploy/: as packages have them.
var deployed = Service{Program: "/usr/bin/sendguard", Config: "/etc/sendguard/config.yaml", System: true}

// TestTheFilesInDeployAreWhatInstallWrites: packages are made from them, and
// people copy them by hand.
func TestTheFilesInDeployAreWhatInstallWrites(t *testing.T) {
	account, err := makeAccount()
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]func() (string, error){
		"systemd/sendguard.service":      func() (string, error) { return Systemd{}.Unit(deployed) },
		"systemd/user/sendguard.service": func() (string, error) { return Systemd{}.Unit(Service{Program: deployed.Program}) },
		"systemd/sysusers.conf":          func() (string, error) { return account[0].(File).Text, nil },
		"systemd/tmpfiles.conf":          func() (string, error) { return account[2].(File).Text, nil },
		"launchd/daemon/sendguard.plist": func() (string, error) {
			return Launchd{}.Plist(Service{Program: "/usr/local/bin/sendguard", Config: deployed.Config, System: true})
		},
		"launchd/agent/sendguard.plist": func() (string, error) {
			return Launchd{Home: "/Users/me"}.Plist(Service{Program: "/usr/local/bin/sendguard", Config: "/Users/me/Library/Application Support/sendguard/config.yaml"})
		},
		"windows/task.xml": func() (string, error) {
			return Windows{Account: `PC\me`}.Task(Service{Program: `C:\Program Files\sendguard\sendguard.exe`, Config: `C:\Users\me\AppData\Roaming\sendguard\config.yaml`})
		},
	} {
		want, err := text()
		if err != nil {
			t.Fatal(err)
		}
		path = filepath.Join("../../../deploy", path)
		if *update {
			if err := (File{path, want}).do(t.Context(), t.Output()); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s is another one (go test ./cmd/sendguard/supervisor -update writes it): %v\n%s", path, err, want)
		}
	}
}

func TestAPathStandsForItselfInAUnit(t *testing.T) {
	for path, want := range map[string]string{
		"/usr/bin/sendguard":   "/usr/bin/sendguard",
		"/opt/my tools/100%/s": `"/opt/my tools/100%%/s"`,
		`/opt/$HOME/a"b\c`:     `"/opt/$$HOME/a\"b\\c"`,
	} {
		text, err := Systemd{}.Unit(Service{Program: path, Config: path, System: true})
		if line := "\nExecStart=" + want + " serve --config " + want + "\n"; err != nil || !strings.Contains(text, line) {
			t.Errorf("no%sin %v %s", line, err, text)
		}
	}
}

func TestSystemdIsToldOfReloadsWhereItListens(t *testing.T) {
	for version, want := range map[int]string{252: "\nType=notify\nExecReload=/bin/kill -HUP $MAINPID\n", 253: "\nType=notify-reload\nExecStart="} {
		for _, system := range []bool{true, false} {
			text, err := Systemd{Version: version}.Unit(Service{Program: "/p", Config: "/c", System: system})
			if err != nil || !strings.Contains(text, want) {
				t.Errorf("%d: no%sin %s", version, want, text)
			}
		}
	}
}

func TestAPathWithBlanksIsOneOnWindowsAndMacOS(t *testing.T) {
	s := Service{Program: `C:\Program Files\s.exe`, Config: `C:\a & b\c.yaml`, System: true}
	plan, err := Windows{}.Install(s)
	if want := `"C:\Program Files\s.exe" serve --config "C:\a & b\c.yaml"`; err != nil || plan.Steps[2].(Command).Args[4] != want {
		t.Errorf("%v %q", err, plan.Steps[2])
	}
	task, err := Windows{}.Task(s)
	if want := `<Arguments>serve --config &#34;C:\a &amp; b\c.yaml&#34;</Arguments>`; err != nil || !strings.Contains(task, want) {
		t.Errorf("%v %s", err, task)
	}
	list, err := Launchd{}.Plist(Service{Program: "/p <q>", Config: "/a & b"})
	if err != nil || !strings.Contains(list, "<string>/p &lt;q&gt;</string>") || !strings.Contains(list, "<string>/a &amp; b</string>") {
		t.Errorf("%v %s", err, list)
	}
}

func TestTheUnitOfAPackageIsLeftToThePackage(t *testing.T) {
	m := Systemd{Version: 252, Packaged: true}
	plan, err := m.Install(deployed)
	if err != nil {
		t.Fatal(err)
	}
	gone, err := m.Uninstall(true)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append(plan.Steps, gone.Steps...) {
		if c, ok := s.(Command); !ok {
			t.Errorf("it writes or removes %v", c)
		}
	}
	if _, err := m.Install(Service{Program: "/usr/local/bin/sendguard", Config: deployed.Config, System: true}); err == nil || !strings.Contains(err.Error(), "is of a package") {
		t.Errorf("another program: %v", err)
	}
}

func TestAPlanIsCarriedOutTwice(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "new", "unit")
	install := Plan{Steps: []Step{attempt("false"), File{file, "one\n"}, command("cat", file)}, Notes: []string{"well"}}
	remove := Plan{Steps: []Step{Removal(file)}}
	for range 2 {
		var out bytes.Buffer
		if err := install.Do(t.Context(), &out); err != nil || out.String() != "wrote    "+file+"\nran      cat "+file+"\none\nwell\n" {
			t.Errorf("%v %s", err, out.String())
		}
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("%v %v", left, err)
	}
	for range 2 {
		if err := remove.Do(t.Context(), t.Output()); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("it is still there")
	}
}

func TestAStepThatFailsEndsThePlanAndSaysWhatToDo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "never")
	p := Plan{Steps: []Step{Command{Args: []string{"sh", "-c", "echo no; exit 3"}, Hint: "; ask somebody"}, File{file, ""}}}
	if err := p.Do(t.Context(), t.Output()); err == nil || err.Error() != "no\nsh -c 'echo no; exit 3': exit status 3; ask somebody" {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("it went on")
	}
}
