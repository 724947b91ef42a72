package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"sendguard/cmd/sendguard/config"
	"sendguard/cmd/sendguard/supervisor"
)

func serviceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "service",
		Short: "Have the guard started with the machine, or with your login",
		Long: `Have the guard started by systemd, launchd or Windows: with --system when the
machine starts, as an account of its own; with --user when you log in, as
yourself, which a keyring needs. The administrator gets --system, anybody else
--user. The configuration is checked first.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().Bool("user", false, "when you log in, as yourself")
	cmd.PersistentFlags().Bool("system", false, "when the machine starts, as an account of its own")
	cmd.PersistentFlags().Bool("print", false, "only print the files that install writes, or the commands")
	cmd.MarkFlagsMutuallyExclusive("user", "system")
	install := &cobra.Command{Use: "install", Short: "Have it started now and from now on", Args: cobra.NoArgs, RunE: installService}
	cmd.AddCommand(install)
	for _, verb := range []struct {
		name, short string
		plan        func(supervisor.Manager, bool) (supervisor.Plan, error)
	}{
		{"uninstall", "Stop it, and have it started no more", supervisor.Manager.Uninstall},
		{"start", "Start it", supervisor.Manager.Start},
		{"stop", "Stop it when the messages under way are finished", supervisor.Manager.Stop},
		{"restart", "Stop and start it", supervisor.Manager.Restart},
		{"status", "Show how it does", supervisor.Manager.Status},
	} {
		cmd.AddCommand(&cobra.Command{Use: verb.name, Short: verb.short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := supervisor.Here(cmd.Context())
			if err != nil {
				return err
			}
			plan, err := verb.plan(m, forSystem(cmd))
			if err != nil {
				return err
			}
			return carryOut(cmd, plan)
		}})
	}
	return cmd
}

// installService checks what is to be started, and has it started.
func installService(cmd *cobra.Command, _ []string) error {
	m, err := supervisor.Here(cmd.Context())
	if err != nil {
		return err
	}
	s := supervisor.Service{System: forSystem(cmd)}
	if s.Config, err = config.Find(cmd.Flag("config").Value.String()); err != nil {
		return err
	}
	if s.Config, err = filepath.Abs(s.Config); err != nil {
		return faultError{err}
	}
	if s.Program, err = thisProgram(); err != nil {
		return faultError{err}
	}
	if !printOnly(cmd) {
		if err := installable(m, s); err != nil {
			return err
		}
	}
	plan, err := m.Install(s)
	if err != nil {
		return err
	}
	return carryOut(cmd, plan)
}

// installable reports what would not start, or would give somebody the rights of
// the administrator.
func installable(m supervisor.Manager, s supervisor.Service) error {
	if os.Getenv("CREDENTIALS_DIRECTORY") == "" { // the service will have it
		os.Setenv("CREDENTIALS_DIRECTORY", "/run/credentials/sendguard.service")
	}
	if _, err := config.Load(s.Config); err != nil {
		return err
	}
	if !s.System {
		if strings.HasPrefix(s.Program, os.TempDir()+string(os.PathSeparator)) {
			return fmt.Errorf("%s lies in the folder for temporary files and will be gone: build sendguard first, and put it where it can stay", s.Program)
		}
		return nil
	}
	for _, path := range []string{s.Program, s.Config} {
		if d, ok := m.(supervisor.Systemd); ok && d.Hidden(path) {
			return fmt.Errorf("%s: a service of the system sees nothing there; the program belongs into /usr/local/bin, the configuration into /etc/sendguard (or use --user)", path)
		}
		if err := supervisor.Trusted(path); err != nil {
			return err
		}
	}
	return nil
}

func carryOut(cmd *cobra.Command, plan supervisor.Plan) error {
	if printOnly(cmd) {
		plan.Print(cmd.OutOrStdout())
		return nil
	}
	if err := plan.Do(cmd.Context(), cmd.OutOrStdout()); err != nil {
		return faultError{err}
	}
	return nil
}

func printOnly(cmd *cobra.Command) bool { return cmd.Flag("print").Value.String() == "true" }

// forSystem is what the flags say; without one, what the account suggests.
func forSystem(cmd *cobra.Command) bool {
	if cmd.Flag("user").Changed {
		return false
	}
	return cmd.Flag("system").Changed || os.Geteuid() == 0
}

// thisProgram is the path of the program that runs.
func thisProgram() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("%s was replaced while it runs", path)
	}
	return real, err
}
