package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"sendguard/cmd/sendguard/config"
)

func reloadCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Have the running guard load its configuration again",
		Long: `Send SIGHUP to the guard that runs with this configuration: one of your own, or
as the administrator that of the system. Its log says whether the configuration
could be loaded; one with a mistake changes nothing.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := config.Find(cmd.Flag("config").Value.String())
			if err != nil {
				return err
			}
			if path, err = filepath.Abs(path); err != nil {
				return faultError{err}
			}
			pid, err := hangUp(path)
			if err != nil {
				return faultError{err}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "process %d was told to load %s again; its log says how that went\n", pid, path)
			return nil
		},
	}
}
