// Command sendguard is a send-guard proxy: an SMTP relay between mail clients
// and their submission server that refuses messages which would show many
// recipients to each other.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"sendguard/proxy"
)

// These are set by releases: -ldflags "-X main.version=1.2.3 -X main.revision=…".
var (
	version  = "devel"
	revision = "" // where it is not set, what the compiler knows
)

// Exit statuses.
const (
	exitOK    = 0
	exitFault = 1
	exitUsage = 2 // bad configuration or usage
)

func main() { os.Exit(runProcess()) }

// run carries out a command line and returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(stderr, err)
	if errors.As(err, new(faultError)) {
		return exitFault
	}
	return exitUsage
}

// A faultError is an error that the user could not have avoided by calling
// sendguard, or configuring it, in another way.
type faultError struct{ error }

func (e faultError) Unwrap() error { return e.error }

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "sendguard",
		Short: "Stops mail that would show many recipients to each other, before it is sent",
		Long: `sendguard stands between a mail client and its outgoing mail server. It reads
the header of every message and refuses one whose To and Cc would show many
people each other's addresses. Everything else passes untouched.

Try it without any configuration:   sendguard demo`,
		Version:           version,
		SilenceUsage:      true,
		SilenceErrors:     true,
		Args:              cobra.NoArgs,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.PersistentFlags().String("config", "", "configuration file (default $SENDGUARD_CONFIG, sendguard/config.yaml\nin the user's configuration folder, /etc/sendguard/config.yaml)")
	root.AddCommand(serveCommand(), loginCommand(), logoutCommand(), reloadCommand(), checkCommand(), configCommand(), userCommand(), certCommand(), demoCommand(), healthcheckCommand(), setupCommand(), serviceCommand(), manualCommand(), versionCommand())
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print version, commit and Go version",
		Args:  cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			b := build()
			fmt.Fprintf(cmd.OutOrStdout(), "sendguard %s, commit %s, %s\n", b.Version, b.Revision, b.GoVersion)
		},
	}
}

// build says what the program was built from.
func build() proxy.Build {
	b := proxy.Build{Version: version, Revision: cmp.Or(revision, "unknown"), GoVersion: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok && revision == "" {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Revision = s.Value
			}
		}
	}
	return b
}

// plural is a word that is counted.
func plural(n int, word string) string {
	switch {
	case n == 1:
		return word
	case strings.HasSuffix(word, "s"):
		return word + "es"
	}
	return word + "s"
}
