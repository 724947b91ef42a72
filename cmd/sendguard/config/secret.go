package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

const (
	commandTime    = 15 * time.Second
	maxSecretBytes = 64 << 10 // tokens have a few thousand
)

// readSecret reads a secret from a file.
func readSecret(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	return asSecret(text, path)
}

// runForSecret has the shell run a command that prints a secret. What it says
// to standard error is not shown: it may be a part of one.
func runForSecret(ctx context.Context, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Stdout = &limitedWriter{&out}
	cmd.WaitDelay = time.Second // for what it has left running
	if err := cmd.Run(); ctx.Err() != nil {
		return "", fmt.Errorf("not done within %v", commandTime)
	} else if err != nil {
		return "", fmt.Errorf("%w (run it by hand to see why)", err)
	}
	return asSecret(out.Bytes(), "its output")
}

// asSecret takes the final newline off.
func asSecret(text []byte, source string) (string, error) {
	s := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	switch {
	case s == "":
		return "", fmt.Errorf("%s is empty", source)
	case len(s) > maxSecretBytes:
		return "", fmt.Errorf("%s is too long for a password", source)
	case strings.ContainsAny(s, "\x00\r\n"):
		return "", fmt.Errorf("%s has more than one line", source)
	}
	return s, nil
}

// A limitedWriter takes as much as can be a secret.
type limitedWriter struct{ *bytes.Buffer }

func (w *limitedWriter) Write(b []byte) (int, error) {
	if w.Len()+len(b) > maxSecretBytes+len("\r\n") {
		return 0, errors.New("more output than a password has")
	}
	return w.Buffer.Write(b)
}
