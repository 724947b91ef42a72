package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sendguard/cmd/sendguard/config"
	"sendguard/proxy/users"
)

func userCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "user NAME",
		Short: "Add a user to the users_file of a route, or change the password",
		Long: `Add a user to the users_file of a route, or change the password. It is read
twice from the terminal, without echo, or once from standard input. The file
keeps its owner and mode; a new one is readable by its owner alone, and where
root makes it by the group of its folder. A running guard takes the change up
at once.`,
		Args: cobra.ExactArgs(1),
	}
	file := cmd.Flags().String("file", "", "users file (default: that of the configuration)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		path := *file
		if path == "" {
			var err error
			if path, err = findUsersFile(cmd.Flag("config").Value.String()); err != nil {
				return err
			}
		}
		password, err := askPassword(cmd.InOrStdin(), cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		if err := setUser(path, args[0], password); errors.As(err, new(*fs.PathError)) {
			return faultError{err}
		} else if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s can log in now (%s)\n", args[0], path)
		if note := unreadable(path); note != "" {
			fmt.Fprintln(cmd.ErrOrStderr(), note)
		}
		return nil
	}
	return cmd
}

// setUser adds a user to a users file, or gives one another password.
func setUser(path, name, password string) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	unlock, err := lockFile(path)
	if err != nil {
		return err
	}
	defer unlock()
	text, err := users.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if text, err = users.WithUser(text, name, password); err != nil {
		return err
	}
	return replaceFile(path, guardMode(path), text)
}

// findUsersFile returns the users file of the configuration.
func findUsersFile(named string) (string, error) {
	c, wrong := config.Load(named) // the file that is to be made may be what is wrong
	if c == nil {
		return "", fmt.Errorf("%w (or name a users file with --file)", wrong)
	}
	path := ""
	for _, r := range c.Routes {
		switch {
		case r.UsersFile == "":
		case path != "" && r.UsersFile != path:
			return "", errors.New("routes have several users files: name one with --file")
		default:
			path = r.UsersFile
		}
	}
	switch {
	case path != "":
		return path, nil
	case wrong != nil:
		return "", fmt.Errorf("%w (or name a users file with --file)", wrong)
	}
	return "", errors.New("no route has a users_file: name one with --file")
}

// maxPasswordBytes bounds what is read where one is expected.
const maxPasswordBytes = 64 << 10

// askPassword reads a password, from a terminal twice and unseen.
func askPassword(in io.Reader, prompts io.Writer) (string, error) {
	f, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		line, err := bufio.NewReader(io.LimitReader(in, maxPasswordBytes)).ReadString('\n')
		if err != nil && err != io.EOF {
			return "", err
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	var typed [2][]byte
	for i, prompt := range []string{"Password: ", "Once more: "} {
		fmt.Fprint(prompts, prompt)
		var err error
		typed[i], err = term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(prompts)
		if err != nil {
			return "", err
		}
	}
	if string(typed[0]) != string(typed[1]) {
		return "", errors.New("these were two different passwords")
	}
	return string(typed[0]), nil
}
