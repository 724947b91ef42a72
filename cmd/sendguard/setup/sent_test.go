package setup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// home makes files below a new folder; each holds a message, or is empty where its
// name ends in a minus.
func home(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i, name := range files {
		text := strings.Repeat("From: me@home.example\n\n", len(files)-i) // the first is the largest
		if name, empty := strings.CutSuffix(name, "-"); empty {
			text, files[i] = "", name
		}
		path := filepath.Join(dir, strings.TrimSuffix(name, "-"))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestSentMailIsFoundWhereMailProgramsKeepIt(t *testing.T) {
	for _, tc := range []struct {
		name, os string
		files    []string
		want     []string // the largest first
	}{
		{"Thunderbird on Linux", "linux",
			[]string{".thunderbird/abc.default/ImapMail/imap.example.com/Sent", ".thunderbird/abc.default/Mail/Local Folders/Sent", ".thunderbird/abc.default/ImapMail/imap.example.com/[Gmail].sbd/Sent Mail",
				".thunderbird/abc.default/ImapMail/imap.example.com/Sent.msf", ".thunderbird/abc.default/ImapMail/imap.example.com/INBOX", ".thunderbird/abc.default/ImapMail/two.example.com/Sent-"},
			[]string{".thunderbird/abc.default/ImapMail/imap.example.com/Sent", ".thunderbird/abc.default/Mail/Local Folders/Sent", ".thunderbird/abc.default/ImapMail/imap.example.com/[Gmail].sbd/Sent Mail"}},
		{"Thunderbird as snap and flatpak", "linux",
			[]string{"snap/thunderbird/common/.thunderbird/a.default/ImapMail/x/INBOX.sbd/Sent-1", ".var/app/org.mozilla.Thunderbird/.thunderbird/b.default/ImapMail/x/Gesendet"},
			[]string{"snap/thunderbird/common/.thunderbird/a.default/ImapMail/x/INBOX.sbd/Sent-1", ".var/app/org.mozilla.Thunderbird/.thunderbird/b.default/ImapMail/x/Gesendet"}},
		{"Thunderbird on macOS", "darwin", []string{"Library/Thunderbird/Profiles/abc.default/ImapMail/x/Sent Messages"}, []string{"Library/Thunderbird/Profiles/abc.default/ImapMail/x/Sent Messages"}},
		{"Apple Mail", "darwin", []string{"Library/Mail/V10/ACCOUNT/Sent Messages.mbox/ID/Data/Messages/1.emlx"}, []string{"Library/Mail/V10/ACCOUNT/Sent Messages.mbox"}},
		{"Thunderbird on Windows", "windows", []string{"AppData/Roaming/Thunderbird/Profiles/abc.default/ImapMail/x/Sent Items"}, []string{"AppData/Roaming/Thunderbird/Profiles/abc.default/ImapMail/x/Sent Items"}},
		{"Maildir of Dovecot", "linux", []string{"Maildir/.Sent/cur/1:2,S", "Maildir/.INBOX.Sent Items/cur/1:2,S", "Maildir/cur/1:2,S", "Maildir/.Trash/cur/1"}, []string{"Maildir/.Sent", "Maildir/.INBOX.Sent Items"}},
		{"Maildirs in folders", "linux", []string{"Mail/work/Sent/cur/1:2,S", ".mail/home/sent/cur/1", "Mail/work/Sent-old/cur/1"}, []string{"Mail/work/Sent", ".mail/home/sent"}},
		{"mbox of mutt and Alpine", "linux", []string{"sent", "mail/sent-mail"}, []string{"sent", "mail/sent-mail"}},
		{"Evolution and KMail", "linux", []string{".local/share/evolution/mail/local/.Sent/cur/1", ".local/share/local-mail/sent-mail/cur/1"}, []string{".local/share/evolution/mail/local/.Sent", ".local/share/local-mail/sent-mail"}},
		{"an empty home", "linux", nil, nil},
	} {
		dir := home(t, tc.files...)
		var got []string
		for _, s := range (System{OS: tc.os, Home: dir, AppData: filepath.Join(dir, "AppData", "Roaming")}).Find() {
			rel, err := filepath.Rel(dir, s.Path)
			if err != nil || s.Bytes == 0 {
				t.Errorf("%s: %v, %v", tc.name, s, err)
			}
			got = append(got, filepath.ToSlash(rel))
		}
		if strings.Join(got, "\n") != strings.Join(tc.want, "\n") {
			t.Errorf("%s: found %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestAProfileElsewhereIsFoundByTheListOfProfiles(t *testing.T) {
	elsewhere := home(t, "profile/ImapMail/imap.example.com/Sent")
	dir := home(t)
	ini := "[Profile0]\r\nName=work\r\nIsRelative=0\r\nPath=" + filepath.Join(elsewhere, "profile") + "\r\n"
	if err := os.MkdirAll(filepath.Join(dir, ".thunderbird"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".thunderbird", "profiles.ini"), []byte(ini), 0o600); err != nil {
		t.Fatal(err)
	}
	found := System{OS: "linux", Home: dir}.Find()
	if len(found) != 1 || found[0].Of != thunderbird || filepath.Base(found[0].Path) != "Sent" {
		t.Errorf("found %v", found)
	}
}

// TestALinkInCirclesEnds: a home may hold anything.
func TestALinkInCirclesEnds(t *testing.T) {
	dir := home(t, "Maildir/.Sent/cur/1")
	if err := os.Symlink("..", filepath.Join(dir, "Maildir", "again")); err != nil {
		t.Skip(err)
	}
	if found := (System{OS: "linux", Home: dir}).Find(); len(found) != 1 {
		t.Errorf("found %v", found)
	}
}
