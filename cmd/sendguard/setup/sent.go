package setup

import (
	"bufio"
	"cmp"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Sent is a folder, or a file, with mail that was sent.
type Sent struct {
	Path  string
	Bytes int64
	Of    string // the mail program, where it is known
}

// A System is where to look.
type System struct {
	OS      string // as runtime.GOOS
	Home    string
	AppData string // of Windows
}

// A store is a place where a mail program keeps its folders.
type store struct{ path, of string }

const thunderbird = "Thunderbird"

// stores are the places where mail programs keep mail unless they are told otherwise.
func (s System) stores() []store {
	home := func(parts ...string) string { return filepath.Join(append([]string{s.Home}, parts...)...) }
	common := []store{
		{home("Maildir"), ""}, {home(".maildir"), ""}, {home("Mail"), ""}, {home("mail"), ""}, {home(".mail"), ""}, {home("sent"), "mutt"},
	}
	switch s.OS {
	case "windows":
		return []store{{filepath.Join(s.AppData, "Thunderbird"), thunderbird}}
	case "darwin":
		return append([]store{{home("Library", "Thunderbird"), thunderbird}, {home("Library", "Mail"), "Apple Mail"}}, common...)
	}
	return append([]store{
		{home(".thunderbird"), thunderbird}, {home("snap", "thunderbird", "common", ".thunderbird"), thunderbird},
		{home(".var", "app", "org.mozilla.Thunderbird", ".thunderbird"), thunderbird},
		{home(".local", "share", "evolution", "mail"), "Evolution"}, {home(".var", "app", "org.gnome.Evolution", "data", "evolution", "mail"), "Evolution"},
		{home(".local", "share", "local-mail"), "KMail"},
	}, common...)
}

const (
	maxDepth   = 7      // ~/.thunderbird/PROFILE/ImapMail/HOST/INBOX.sbd/FOLDER.sbd/Sent
	maxEntries = 50_000 // looked at in all: no home keeps a person waiting
)

// Find lists the folders with sent mail that mail programs have where they usually
// keep it, the largest first. It reads names and sizes, and no mail.
func (s System) Find() []Sent {
	f := finder{left: maxEntries}
	for _, st := range s.stores() {
		f.look(st.path, st.of, maxDepth)
		if st.of == thunderbird {
			for _, profile := range profilesElsewhere(st.path) {
				f.look(profile, st.of, maxDepth-1)
			}
		}
	}
	slices.SortStableFunc(f.found, func(a, b Sent) int { return cmp.Compare(b.Bytes, a.Bytes) })
	return f.found
}

// profilesElsewhere are the profiles of Thunderbird that a person has put outside of
// its folder.
func profilesElsewhere(dir string) (paths []string) {
	file, err := os.Open(filepath.Join(dir, "profiles.ini"))
	if err != nil {
		return nil
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		path, is := strings.CutPrefix(strings.TrimSpace(lines.Text()), "Path=")
		if is && filepath.IsAbs(path) {
			paths = append(paths, path)
		}
	}
	return paths
}

// A finder walks through folders.
type finder struct {
	left  int // entries that it may still look at
	found []Sent
}

// look takes path where its name says that it is sent mail, and otherwise what is in
// it. Links to folders are not followed.
func (f *finder) look(path, of string, depth int) {
	info, err := os.Lstat(path)
	if f.left--; err != nil || f.left < 0 {
		return
	}
	switch isSent := sentNames[nameOf(path)]; {
	case isSent && info.Mode().IsRegular() && info.Size() > 0:
		f.found = append(f.found, Sent{path, info.Size(), of})
	case isSent && info.IsDir():
		if bytes := f.size(path); bytes > 0 {
			f.found = append(f.found, Sent{path, bytes, of})
		}
	case info.IsDir() && depth > 0:
		entries, err := os.ReadDir(path)
		if err != nil {
			return
		}
		for _, e := range entries {
			if name := e.Name(); name != "cur" && name != "new" && name != "tmp" {
				f.look(filepath.Join(path, name), of, depth-1)
			}
		}
	}
}

// size is how much there is in a folder.
func (f *finder) size(path string) (bytes int64) {
	filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error {
		if f.left--; f.left < 0 {
			return fs.SkipAll
		}
		if err != nil || !e.Type().IsRegular() {
			return nil
		}
		if info, err := e.Info(); err == nil {
			bytes += info.Size()
		}
		return nil
	})
	return bytes
}

// sentNames are what mail programs call the folder, in lower case: in English, and in
// the languages that name it anew on the server.
var sentNames = map[string]bool{
	"sent": true, "sent items": true, "sent mail": true, "sent messages": true, "sent-mail": true, "sent_items": true, "sentmail": true,
	"gesendet": true, "gesendete elemente": true, "gesendete objekte": true,
	"envoyés": true, "messages envoyés": true, "éléments envoyés": true,
	"enviados": true, "elementos enviados": true, "posta inviata": true, "verzonden": true, "verzonden items": true, "skickat": true, "wysłane": true,
}

// nameOf is the name of a mail folder without what mail programs add to it:
// .INBOX.Sent of a Maildir, Sent Messages.mbox of Apple Mail, Sent-1 of Thunderbird.
func nameOf(path string) string {
	name := strings.TrimSuffix(strings.ToLower(filepath.Base(path)), ".mbox")
	name = name[strings.LastIndexByte(name, '.')+1:]
	return strings.TrimRight(strings.TrimRight(name, "0123456789"), "-")
}
