package supervisor

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"time"
)

// askTime bounds a question to the system.
const askTime = 10 * time.Second

// Here is the manager of this system.
func Here(ctx context.Context) (Manager, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		dir = "" // a service of the system needs none
	}
	switch runtime.GOOS {
	case "linux":
		return systemdHere(ctx, dir)
	case "darwin":
		home, err := os.UserHomeDir()
		if err != nil {
			home = ""
		}
		return Launchd{Home: home, UID: os.Getuid()}, nil
	case "windows":
		account, err := user.Current()
		if err != nil {
			return nil, err
		}
		return Windows{Account: account.Username, Data: dir}, nil
	}
	return nil, fmt.Errorf("how services start on %s is not known here: have its own means start sendguard serve", runtime.GOOS)
}

func systemdHere(ctx context.Context, dir string) (Manager, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	text, err := exec.CommandContext(ctx, "systemctl", "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("no systemd here (%w): have what starts services here start sendguard serve", err)
	}
	m := Systemd{}
	if _, err := fmt.Sscanf(string(text), "systemd %d", &m.Version); err != nil {
		return nil, fmt.Errorf("systemctl --version says %.40q", text)
	}
	if dir != "" {
		m.Units = filepath.Join(dir, "systemd", "user")
	}
	_, err = os.Stat(PackagedUnit)
	m.Packaged = err == nil
	return m, nil
}
