package config

import (
	"fmt"
	"io"
	"path/filepath"

	"sendguard/proxy"
)

// A Mistake is one thing that is wrong in a configuration. Its arguments are what
// the file says, so there may be a domain, an address or a path in it.
type Mistake struct {
	file   string
	line   int    // 0: it is not in the file
	key    string // "": it is of the whole file
	format string
	args   []any
}

func (m *Mistake) Error() string { return m.place(m.file) + fmt.Sprintf(m.format, m.args...) }

// WithoutValues is what it says in a log: file, line and key, and what is wrong.
// Whatever is not known to be free of values is hidden.
func (m *Mistake) WithoutValues() string {
	args := make([]any, len(m.args))
	for i, arg := range m.args {
		args[i] = hide(arg)
	}
	return m.place(filepath.Base(m.file)) + fmt.Sprintf(m.format, args...)
}

func (m *Mistake) place(file string) (place string) {
	if m.line > 0 {
		place = fmt.Sprintf("%s:%d: ", file, m.line)
	}
	if m.key != "" {
		place += m.key + ": "
	}
	return place
}

// words are our own, with values in quotation marks alone.
type words string

// A fileError is about files whose paths it may repeat.
type fileError struct {
	error
	paths []string
}

func aboutFile(err error, paths ...string) fileError { return fileError{err, paths} }

func hide(arg any) any {
	switch arg := arg.(type) {
	case int:
		return arg
	case words:
		return proxy.WithoutQuoted(string(arg))
	case fileError:
		return proxy.Reason(arg.error, arg.paths...)
	case error:
		return proxy.Reason(arg)
	}
	return hidden{}
}

// hidden stands for a value.
type hidden struct{}

func (hidden) Format(f fmt.State, verb rune) {
	if verb == 'q' {
		io.WriteString(f, `"…"`)
	} else {
		io.WriteString(f, "…")
	}
}
