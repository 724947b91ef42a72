package config

import (
	"fmt"
	"os"
	"runtime"
)

// A Warning is about a file that other accounts of this machine can get at.
type Warning struct {
	Route string // "" where it belongs to none
	Key   string
	Text  string // without the path

	place, path string
}

// String has the place of the key and the path, for whoever may see them.
func (w Warning) String() string { return w.place + "warning: " + w.path + " " + w.Text }

// Rights that every account has.
const (
	othersRead  = 0o004
	othersWrite = 0o002
)

// Warnings looks at the files that hold secrets, and at those that say who may
// send. On Windows the mode of a file does not tell.
func (c *Config) Warnings() (all []Warning) {
	if runtime.GOOS == "windows" {
		return nil
	}
	look := func(route, key, path string, rights os.FileMode) {
		info, err := os.Stat(path)
		if path == "" || err != nil || info.Mode().Perm()&rights == 0 {
			return
		}
		what := "read"
		if info.Mode().Perm()&rights&othersWrite != 0 {
			what = "written to"
		}
		m := c.source.mistake(c.source.line(key), key, "")
		all = append(all, Warning{route, key, "can be " + what + " by every account of this machine", m.place(m.file), path})
	}
	for i, r := range c.Routes {
		key := fmt.Sprintf("routes[%d].", i)
		look(r.Name, key+"tls.key", r.TLS.Key, othersRead|othersWrite)
		look(r.Name, key+"users_file", r.UsersFile, othersWrite)
		look(r.Name, key+"upstream.password_file", r.Upstream.PasswordFile, othersRead|othersWrite)
		if r.Upstream.Password != "" && c.source.literal[key+"upstream.password"] {
			look(r.Name, key+"upstream.password", c.source.file, othersRead|othersWrite)
		}
		look(r.Name, key+"upstream.oauth2.key", r.Upstream.OAuth2.Key, othersRead|othersWrite)
		look(r.Name, key+"upstream.oauth2.client_secret_file", r.Upstream.OAuth2.ClientSecretFile, othersRead|othersWrite)
		if r.Upstream.OAuth2.ClientSecret != "" && c.source.literal[key+"upstream.oauth2.client_secret"] {
			look(r.Name, key+"upstream.oauth2.client_secret", c.source.file, othersRead|othersWrite)
		}
	}
	const stateKey = "policy.individual.state"
	if statePassword.MatchString(string(c.Policy.Individual.State)) && c.source.literal[stateKey] {
		look("", stateKey, c.source.file, othersRead|othersWrite)
	}
	return all
}
