// Package supervisor has the guard started with the machine, or with the login
// of a person: by systemd, launchd or Windows.
//
// What holds:
//
//   - What is to be done is worked out first, as a Plan: files to write, commands
//     to run, files to remove. Working it out changes nothing, and does not depend
//     on the system that it runs on, so that each can be shown and tested anywhere.
//   - A plan can be carried out twice; the second time changes nothing that the
//     first one did not.
//   - A service of the system runs as an account of its own, without rights. What
//     would give those of the administrator to somebody else is refused: a program
//     or a configuration that others may write.
//   - Files of a package are left to the package.
//
// plan.go is the plan; systemd.go, launchd.go and windows.go make one for each
// system, from the templates beside them, and here.go chooses. trusted.go says
// whose the files are, trusted_unix.go and trusted_other.go how that is seen.
package supervisor
