package supervisor

import (
	"encoding/xml"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// launchdAccount is that of a service of the system; macOS has names of such
// accounts begin with a line.
const launchdAccount = "_" + Name

// plistName is that of the file, after the label of the service.
const plistName = Name + ".plist"

// Launchd makes plans for macOS.
type Launchd struct {
	Home string // of the person
	UID  int    // of the person
}

// Install writes a property list and has launchd read it. One that it knows
// already is forgotten first, or the new one would not be read.
func (m Launchd) Install(s Service) (Plan, error) {
	path, err := m.path(s.System)
	if err != nil {
		return Plan{}, err
	}
	text, err := m.Plist(s)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Notes: []string{undo(s.System)}}
	if s.System {
		for _, path := range s.Readable { // the account may have no group of its own
			p.Steps = append(p.Steps, command("chmod", "+a", launchdAccount+" allow read", path))
		}
		p.Steps = append(p.Steps, Command{
			Args:  []string{"sudo", "-u", launchdAccount, s.Program, "config", "--config", s.Config},
			Quiet: true,
			Hint:  "\nThe account " + launchdAccount + " must exist (sysadminctl -addUser " + launchdAccount + " -UID 450 -roleAccount) and be able to read it.",
		})
	}
	p.Steps = append(p.Steps, File{path, text}, attempt("launchctl", "bootout", m.target(s.System)),
		command("launchctl", "bootstrap", m.domain(s.System), path))
	return p, nil
}

// Plist is the text of the property list.
func (m Launchd) Plist(s Service) (string, error) {
	log := "/var/log/sendguard.log"
	if !s.System {
		log = filepath.Join(m.Home, "Library/Logs/sendguard.log")
	}
	return render("launchd.plist.tmpl", quoteXML, struct {
		Service
		Log string
	}{s, log})
}

// Uninstall keeps the configuration and the log.
func (m Launchd) Uninstall(system bool) (Plan, error) {
	path, err := m.path(system)
	return Plan{
		Steps: []Step{attempt("launchctl", "bootout", m.target(system)), Removal(path)},
		Notes: []string{"The configuration and the log stay."},
	}, err
}

// Start has launchd read the property list again: a service that was stopped is
// one that it does not know.
func (m Launchd) Start(system bool) (Plan, error) {
	path, err := m.path(system)
	return Plan{Steps: []Step{command("launchctl", "bootstrap", m.domain(system), path)}}, err
}

// Stop stops it; the next start of the machine, or login, starts it again.
func (m Launchd) Stop(system bool) (Plan, error) {
	return Plan{Steps: []Step{command("launchctl", "bootout", m.target(system))}}, nil
}

// Restart stops and starts it.
func (m Launchd) Restart(system bool) (Plan, error) {
	return Plan{Steps: []Step{command("launchctl", "kickstart", "-k", m.target(system))}}, nil
}

// Status shows what launchd knows of it.
func (m Launchd) Status(system bool) (Plan, error) {
	return Plan{Steps: []Step{command("launchctl", "print", m.target(system))}}, nil
}

func (m Launchd) path(system bool) (string, error) {
	switch {
	case system:
		return "/Library/LaunchDaemons/" + plistName, nil
	case m.Home == "":
		return "", errors.New("no folder for property lists is known: HOME is not set")
	}
	return filepath.Join(m.Home, "Library/LaunchAgents", plistName), nil
}

func (m Launchd) domain(system bool) string {
	if system {
		return "system"
	}
	return fmt.Sprintf("gui/%d", m.UID)
}

func (m Launchd) target(system bool) string { return m.domain(system) + "/" + Name }

// quoteXML writes a text for XML.
func quoteXML(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder takes everything
	return b.String()
}
