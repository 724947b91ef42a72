package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"gopkg.in/yaml.v3"

	"sendguard/policy"
)

// Find returns the path of the configuration file: the one that was
// named, or the first that there is.
func Find(named string) (string, error) {
	if named != "" {
		return named, nil
	}
	if env := os.Getenv("SENDGUARD_CONFIG"); env != "" {
		return env, nil
	}
	var tried []string
	if path, err := personalPath(); err == nil {
		tried = append(tried, path)
	}
	tried = append(tried, systemPath)
	for _, path := range tried {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", &Mistake{format: "no configuration file: looked for %s; name one with --config", args: []any{strings.Join(tried, " and ")}}
}

// systemPath is where a guard of the system has its configuration.
const systemPath = "/etc/sendguard/config.yaml"

func personalPath() (string, error) {
	dir, err := os.UserConfigDir()
	return filepath.Join(dir, "sendguard", "config.yaml"), err
}

// Place returns the absolute path at which a new configuration is found by Find, for
// the account that this process runs as: the one that was named, or the person's own,
// or as root the system's, unless root's own would be found before it.
func Place(named string) (string, error) {
	if named = cmp.Or(named, os.Getenv("SENDGUARD_CONFIG")); named != "" {
		return filepath.Abs(named)
	}
	own, err := personalPath()
	if _, missing := os.Stat(own); os.Geteuid() == 0 && (err != nil || missing != nil) {
		return systemPath, nil
	}
	return own, err
}

// Load reads and checks the configuration. The error has a line for each
// thing that is wrong, with file, line and key. Where the configuration could be
// decoded and only makes no sense, it is returned beside the error.
func Load(named string) (*Config, error) {
	path, err := Find(named)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, &Mistake{format: "%v", args: []any{aboutFile(err, path)}}
	}
	c := Default()
	c.Policy.Limits[policy.InBody] = notSet
	d := decoder{file: path}
	d.decode(text, &c)
	c.Policy.limitBodies()
	if len(d.problems) > 0 {
		return nil, d.err()
	}
	c.source = &d
	c.check(&d)
	return &c, d.err()
}

// Path is the file that the configuration is from.
func (c *Config) Path() string { return c.source.file }

// Instance tells the guard of this configuration from one of another: it is made of
// the file's place, and does not show it.
func (c *Config) Instance() string {
	path, err := filepath.Abs(c.Path())
	if err != nil { // there is no working directory any more
		path = c.Path()
	}
	sum := sha256.Sum256([]byte(path))
	return hex.EncodeToString(sum[:8])
}

// Print writes the configuration as it is in force, its secrets hidden.
func (c *Config) Print(w io.Writer) error {
	out := yaml.NewEncoder(w)
	out.SetIndent(2)
	return errors.Join(out.Encode(c), out.Close())
}
