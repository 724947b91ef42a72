package supervisor

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// notifiesReloads is the first systemd that knows Type=notify-reload.
const notifiesReloads = 253

// PackagedUnit is where a package has the unit.
const PackagedUnit = "/usr/lib/systemd/system/sendguard.service"

// The files of a service of the system that comes from no package.
const (
	systemUnit   = "/etc/systemd/system/sendguard.service"
	sysusersFile = "/etc/sysusers.d/sendguard.conf"
	tmpfilesFile = "/etc/tmpfiles.d/sendguard.conf"
)

// Systemd makes plans for systemd.
type Systemd struct {
	Version int    // as systemctl --version says
	Units   string // folder for units of the person; "": none is known
	// Packaged says that a package has brought the unit for the system.
	Packaged bool
}

const unitName = Name + ".service"

// hidden are the folders that the unit of the system does not see.
var hidden = []string{"/home", "/root", "/run/user", "/tmp", "/var/tmp"}

// Install writes units and has systemd start them. The account comes first: the
// configuration is checked as it will be read.
func (m Systemd) Install(s Service) (Plan, error) {
	if s.System && m.Packaged {
		return m.enablePackaged(s)
	}
	path, err := m.unitPath(s.System)
	if err != nil {
		return Plan{}, err
	}
	text, err := m.Unit(s)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Notes: []string{undo(s.System)}}
	if s.System {
		account, err := makeAccount()
		if err != nil {
			return Plan{}, err
		}
		p.Steps = append(append(account, readable(s)...), checkAsAccount(s))
	} else {
		p.Notes = append(p.Notes, "It starts when you log in. To have it run while you are not: loginctl enable-linger")
	}
	p.Steps = append(p.Steps, File{path, text}, m.ctl(s.System, "daemon-reload"), m.ctl(s.System, "enable", unitName), m.ctl(s.System, "restart", unitName))
	return p, nil
}

// enablePackaged has the unit of a package started. What that unit says is the
// package's.
func (m Systemd) enablePackaged(s Service) (Plan, error) {
	if s.Program != "/usr/bin/sendguard" || s.Config != "/etc/sendguard/config.yaml" {
		return Plan{}, errors.New(PackagedUnit + " is of a package and starts /usr/bin/sendguard with /etc/sendguard/config.yaml: for another program or configuration remove the package, or use systemctl edit sendguard")
	}
	return Plan{
		Steps: append(readable(s), checkAsAccount(s), m.ctl(true, "enable", unitName), m.ctl(true, "restart", unitName)),
		Notes: []string{"The unit is that of the package.", undo(true)},
	}, nil
}

// readable lets the account of the service read files, by its group.
func readable(s Service) (steps []Step) {
	for _, path := range s.Readable {
		steps = append(steps, command("chgrp", Name, path), command("chmod", "g+r", path))
	}
	return steps
}

// checkAsAccount has the account of the service check the configuration: what
// the administrator can read it may not.
func checkAsAccount(s Service) Command {
	return Command{
		Args:  []string{"setpriv", "--reuid", Name, "--regid", Name, "--init-groups", s.Program, "config", "--config", s.Config},
		Quiet: true,
		Hint:  fmt.Sprintf("\nThe account %s must be able to read it: chgrp %s FILE && chmod 640 FILE", Name, Name),
	}
}

func undo(system bool) string { return "To undo: sendguard service uninstall " + scope(system) }

// Unit is the text of the unit.
func (m Systemd) Unit(s Service) (string, error) {
	name := "user.service.tmpl"
	if s.System {
		name = "system.service.tmpl"
	}
	return render(name, quoteSystemd, struct {
		Service
		Reloads bool
	}{s, m.Version >= notifiesReloads})
}

// makeAccount has systemd make the account of the service, and its folder.
func makeAccount() ([]Step, error) {
	users, err := render("sysusers.tmpl", quoteSystemd, nil)
	if err != nil {
		return nil, err
	}
	folders, err := render("tmpfiles.tmpl", quoteSystemd, nil)
	return []Step{
		File{sysusersFile, users}, command("systemd-sysusers", sysusersFile),
		File{tmpfilesFile, folders}, command("systemd-tmpfiles", "--create", tmpfilesFile),
	}, err
}

// Uninstall keeps what is not the service's own: the configuration, the account,
// and what the guard has written.
func (m Systemd) Uninstall(system bool) (Plan, error) {
	path, err := m.unitPath(system)
	if err != nil {
		return Plan{}, err
	}
	disable := m.ctl(system, "disable", "--now", unitName)
	disable.MayFail = true
	p := Plan{Steps: []Step{disable}}
	switch {
	case system && m.Packaged:
		p.Notes = []string{"The unit stays: it is that of the package."}
		return p, nil
	case system:
		p.Steps = append(p.Steps, Removal(sysusersFile), Removal(tmpfilesFile))
		p.Notes = []string{"The configuration stays, and so do the account sendguard and its folder /var/lib/sendguard."}
	default:
		p.Notes = []string{"The configuration stays."}
	}
	p.Steps = append(p.Steps, Removal(path), m.ctl(system, "daemon-reload"))
	return p, nil
}

// Start starts it until it is stopped, or the machine ends.
func (m Systemd) Start(system bool) (Plan, error) { return m.ask(system, "start") }

// Stop stops it; the next start of the machine, or login, starts it again.
func (m Systemd) Stop(system bool) (Plan, error) { return m.ask(system, "stop") }

// Restart stops and starts it.
func (m Systemd) Restart(system bool) (Plan, error) { return m.ask(system, "restart") }

// Status shows state, processes and the last lines of the log.
func (m Systemd) Status(system bool) (Plan, error) {
	return Plan{Steps: []Step{m.ctl(system, "status", "--no-pager", unitName)}}, nil
}

func (m Systemd) ask(system bool, verb string) (Plan, error) {
	return Plan{Steps: []Step{m.ctl(system, verb, unitName)}}, nil
}

func (m Systemd) ctl(system bool, args ...string) Command {
	if system {
		return command(append([]string{"systemctl"}, args...)...)
	}
	return command(append([]string{"systemctl", "--user"}, args...)...)
}

func (m Systemd) unitPath(system bool) (string, error) {
	switch {
	case system:
		return systemUnit, nil
	case m.Units == "":
		return "", errors.New("no folder for units is known: HOME is not set")
	}
	return filepath.Join(m.Units, unitName), nil
}

// quoteSystemd writes an argument for ExecStart= (systemd.service(5), COMMAND
// LINES): specifiers and variables in it stand for themselves.
func quoteSystemd(arg string) string {
	plain := strings.NewReplacer("%", "%%", "$", "$$").Replace(arg)
	if !strings.ContainsAny(plain, " \t\"'\\;") {
		return plain
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(plain) + `"`
}

// scope is the flag for it.
func scope(system bool) string {
	if system {
		return "--system"
	}
	return "--user"
}

// Hidden reports whether the unit of the system would not see a file.
func (Systemd) Hidden(path string) bool {
	return slices.ContainsFunc(hidden, func(dir string) bool { return strings.HasPrefix(path, dir+"/") })
}
