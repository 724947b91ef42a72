package archive

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Source is a file to read; "-" is standard input.
type Source struct {
	Path  string
	Size  int64
	Named bool // by the user, and not found in a folder
}

// List returns what there is to read in what the user named, and tells of what
// cannot be looked at.
func List(named []string, failed func(error)) []Source {
	l := listing{failed: failed}
	for _, path := range named {
		l.add(path)
	}
	return l.sources
}

// A listing finds the files of folders.
type listing struct {
	sources []Source
	failed  func(error)
}

// add takes what the user named, whatever it is.
func (l *listing) add(path string) {
	if path == "-" {
		l.sources = append(l.sources, Source{Path: path, Named: true})
		return
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		l.failed(err)
	case info.IsDir():
		l.folder(path)
	default:
		l.sources = append(l.sources, Source{path, info.Size(), true})
	}
}

// folder takes all files of a folder. Links to folders are not followed: they
// may lead round in circles.
func (l *listing) folder(path string) {
	entries, err := os.ReadDir(path)
	if err != nil {
		l.failed(err)
	}
	maildir := isMaildir(entries)
	for _, e := range entries {
		child := filepath.Join(path, e.Name())
		switch {
		case skipped(e, maildir):
		case e.IsDir():
			l.folder(child)
		default:
			l.file(child)
		}
	}
}

func (l *listing) file(path string) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		l.failed(err)
	case info.Mode().IsRegular(): // a pipe or a device might never end
		l.sources = append(l.sources, Source{path, info.Size(), false})
	}
}

func isMaildir(entries []os.DirEntry) bool {
	has := func(name string) bool {
		return slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.IsDir() && e.Name() == name })
	}
	return has("cur") && has("new")
}

// skipped reports what holds no messages. In a Maildir that is its tmp (they
// are not finished there) and every file; its hidden folders are mail folders.
func skipped(e os.DirEntry, maildir bool) bool {
	if maildir {
		return !e.IsDir() || e.Name() == "tmp"
	}
	return strings.HasPrefix(e.Name(), ".")
}
