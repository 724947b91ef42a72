package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"sendguard/cmd/sendguard/config"
)

func logoutCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "logout [ROUTE]",
		Short: "Forget the sign-in of a route with oauth2",
		Long: `Forget the sign-in of a route with oauth2, and have the provider end it where it
can. A running guard stops to use it within ten seconds.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := config.Load(cmd.Flag("config").Value.String())
			if err != nil {
				return err
			}
			r, err := findLogin(c, args)
			if err != nil {
				return err
			}
			found, revoked, err := r.Client.Forget(cmd.Context())
			said := "Nobody was logged in."
			switch {
			case err != nil:
				return faultError{err}
			case revoked:
				said = "Logged out, and the provider has ended the login."
			case found:
				said = "Logged out. The provider has no way to be told: end the login in your account there."
			}
			fmt.Fprintln(cmd.OutOrStdout(), said)
			return nil
		},
	}
}
