package supervisor

import "path/filepath"

// windowsAccount is made by Windows with the service, and has no other rights.
const windowsAccount = `NT SERVICE\` + Name

// Windows makes plans for Windows: a service of the system, or a task at the
// login of a person, who alone can open the keyring.
type Windows struct {
	Account string // DOMAIN\NAME of the person
	Data    string // folder for the files of the person
}

// Install makes the service or task anew.
func (m Windows) Install(s Service) (Plan, error) {
	if s.System {
		return m.service(s), nil
	}
	text, err := m.Task(s)
	path := filepath.Join(m.Data, Name, "task.xml")
	return Plan{
		Steps: []Step{File{path, text}, command("schtasks.exe", "/Create", "/F", "/TN", Name, "/XML", path), command("schtasks.exe", "/Run", "/TN", Name)},
		Notes: []string{undo(false)},
	}, err
}

// service has quotation marks around the paths: without them Windows would try
// each word of a path with blanks for a program (CWE-428).
func (m Windows) service(s Service) Plan {
	line := quoteWindows(s.Program) + " " + arguments(s)
	steps := []Step{
		attempt("net.exe", "stop", Name),
		attempt("sc.exe", "delete", Name),
		command("sc.exe", "create", Name, "binPath=", line, "start=", "delayed-auto", "obj=", windowsAccount, "DisplayName=", Name),
		command("sc.exe", "description", Name, "sendguard, the guard before the mail server"),
		command("sc.exe", "failure", Name, "reset=", "86400", "actions=", "restart/1000/restart/10000/restart/60000"),
	}
	for _, path := range append([]string{s.Config}, s.Readable...) {
		steps = append(steps, command("icacls.exe", path, "/grant", windowsAccount+":R"))
	}
	return Plan{
		Steps: append(steps, command("net.exe", "start", Name)),
		Notes: []string{undo(true), "Whether others can write to the folders of program and configuration was not checked."},
	}
}

// Task is the text of the task at login.
func (m Windows) Task(s Service) (string, error) {
	return render("task.xml.tmpl", quoteXML, struct {
		Service
		Account, Arguments string
	}{s, m.Account, arguments(s)})
}

func arguments(s Service) string { return "serve --config " + quoteWindows(s.Config) }

// quoteWindows puts a path into quotation marks; a path cannot hold one.
func quoteWindows(path string) string { return `"` + path + `"` }

// Uninstall keeps the configuration.
func (m Windows) Uninstall(system bool) (Plan, error) {
	p := Plan{Notes: []string{"The configuration stays."}}
	if system {
		p.Steps = []Step{attempt("net.exe", "stop", Name), command("sc.exe", "delete", Name)}
	} else {
		p.Steps = []Step{attempt("schtasks.exe", "/End", "/TN", Name), command("schtasks.exe", "/Delete", "/F", "/TN", Name),
			Removal(filepath.Join(m.Data, Name, "task.xml"))}
	}
	return p, nil
}

// Start starts it until it is stopped, or the machine ends.
func (m Windows) Start(system bool) (Plan, error) {
	return Plan{Steps: []Step{m.ask(system, command("net.exe", "start", Name), "/Run")}}, nil
}

// Stop stops it; the next start of the machine, or login, starts it again.
func (m Windows) Stop(system bool) (Plan, error) {
	return Plan{Steps: []Step{m.ask(system, command("net.exe", "stop", Name), "/End")}}, nil
}

// Restart stops and starts it.
func (m Windows) Restart(system bool) (Plan, error) {
	stop, _ := m.Stop(system)
	start, _ := m.Start(system)
	return Plan{Steps: append(stop.Steps, start.Steps...)}, nil
}

// Status shows what Windows knows of it.
func (m Windows) Status(system bool) (Plan, error) {
	return Plan{Steps: []Step{m.ask(system, command("sc.exe", "query", Name), "/Query")}}, nil
}

// ask is the command for the service, or what is asked of the task.
func (Windows) ask(system bool, service Command, task string) Command {
	if system {
		return service
	}
	return command("schtasks.exe", task, "/TN", Name)
}
