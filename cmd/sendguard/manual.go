package main

import (
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func manualCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "manual DIR",
		Short: "Write the man pages into a folder",
		Long: `Write a man page for each command into a folder, sendguard.1 first. See one with
man DIR/sendguard.1, or have the folder be a man1 in $MANPATH.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			root.DisableAutoGenTag = true // the same program has the same pages
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return faultError{err}
			}
			if err := doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "sendguard " + version, Manual: "sendguard"}, args[0]); err != nil {
				return faultError{err}
			}
			return nil
		},
	}
}
