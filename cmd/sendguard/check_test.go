package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// mailTo is a message that shows n addresses in To.
func mailTo(n int) string {
	var to []string
	for i := range n {
		to = append(to, fmt.Sprintf("a%d@x%d.example", i, i))
	}
	return "From: me@home.example\nTo: " + strings.Join(to, ",\n\t") + "\nSubject: secret\nDate: Mon, 3 Jun 2024 10:00:00 +0200\n\nHello\n"
}

const mboxLine = "From me@home.example Mon Jun  3 10:00:00 2024\n"

// folder writes files into a new folder, given as name and text in turn.
func folder(t testing.TB, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// withoutConfig has no configuration be found.
func withoutConfig(t *testing.T) {
	t.Setenv("SENDGUARD_CONFIG", "")
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
}

// verdicts checks a folder and returns a line for each message: its name in
// the folder, verdict, reason and visible addresses.
func verdicts(t *testing.T, dir string, args ...string) (status int, lines []string, stderr string) {
	t.Helper()
	status, out, stderr := command(t, append([]string{"check", "--format", "json", dir}, args...)...)
	for text := range strings.Lines(out) {
		var m struct {
			File, Verdict, Reason string
			Visible               int
		}
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		lines = append(lines, fmt.Sprintf("%s %s %s %d", strings.TrimPrefix(m.File, dir+"/"), m.Verdict, m.Reason, m.Visible))
	}
	return status, lines, stderr
}

func TestCheckFindsEveryMessage(t *testing.T) {
	withoutConfig(t)
	crlf := func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }
	mbox := mboxLine + mailTo(1) + "\n" + mboxLine + mailTo(12) + "\n" + mboxLine + mailTo(3)
	for name, tc := range map[string]struct {
		files []string
		want  []string
	}{
		"an LF file":                      {[]string{"a.eml", mailTo(2)}, []string{"a.eml allow none 2"}},
		"a CRLF file":                     {[]string{"a.eml", crlf(mailTo(2))}, []string{"a.eml allow none 2"}},
		"mixed line ends":                 {[]string{"a.eml", "From: me@home.example\r\nTo: a@x.example\nCc: b@x.example\r\n\nHi\n"}, []string{"a.eml allow none 2"}},
		"a bare CR in the header":         {[]string{"a.eml", "From: me@home.example\nX: y\rTo: a@x.example\n\nHi\n"}, []string{"a.eml reject bare_newline 0"}},
		"a bare CR in the body":           {[]string{"a.eml", mailTo(2) + strings.Repeat("x", 100_000) + "\r"}, []string{"a.eml reject bare_newline 2"}},
		"a CRLF across two buffers":       {[]string{"a.eml", crlf(mailTo(2)) + strings.Repeat("x", 1<<16-1) + "\r\n"}, []string{"a.eml allow none 2"}},
		"a CR before the next buffer":     {[]string{"a.eml", crlf(mailTo(2)) + strings.Repeat("x", 1<<16-1) + "\rx\n"}, []string{"a.eml reject bare_newline 2"}},
		"a field that looks like an mbox": {[]string{"a.eml", "From : a@x.example, b@x.example\nTo: c@x.example\n\n"}, []string{"a.eml allow none 3"}},
		"no body and no line end":         {[]string{"a.eml", "To: a@x.example"}, []string{"a.eml allow none 1"}},
		"a field behind an empty line":    {[]string{"a.eml", "\nTo: a@x.example\n"}, []string{"a.eml reject unreadable_header 0"}},
		"an mbox":                         {[]string{"Sent", mbox}, []string{"Sent#1 allow none 1", "Sent#2 reject too_many_external 12", "Sent#3 allow none 3"}},
		"an mbox in CRLF":                 {[]string{"Sent", crlf(mbox)}, []string{"Sent#1 allow none 1", "Sent#2 reject too_many_external 12", "Sent#3 allow none 3"}},
		"Thunderbird's mbox":              {[]string{"Sent", "From \r\n" + crlf(mailTo(1)) + "\r\nFrom \r\n" + crlf(mailTo(2)), "Sent.msf", "// <!-- mork -->"}, []string{"Sent#1 allow none 1", "Sent#2 allow none 2"}},
		"messages without body":           {[]string{"Sent", mboxLine + "To: a@x.example\n\n" + mboxLine + "To: b@x.example\n\n"}, []string{"Sent#1 allow none 1", "Sent#2 allow none 1"}},
		"text that begins with From":      {[]string{"Sent", mboxLine + mailTo(1) + "\nFrom the desk of\nTo: many\n\n>From me on Mon Jan  1 10:00:00 2024\nFrom x Mon Jan  1 10:00:00 2024\n"}, []string{"Sent#1 allow none 1"}},
		"an mbox line in a single file":   {[]string{"a.eml", mailTo(1) + "\n" + mboxLine + mailTo(2)}, []string{"a.eml allow none 1"}},
		"a Maildir":                       {[]string{"cur/1:2,S", mailTo(1), "new/2", mailTo(2), "tmp/3", mailTo(3), "dovecot-uidlist", "3 V1"}, []string{"cur/1:2,S allow none 1", "new/2 allow none 2"}},
		"folders of a Maildir":            {[]string{"cur/1", mailTo(1), "new/2", mailTo(2), ".Sent/cur/3", mailTo(3), ".Sent/new/4", mailTo(4)}, []string{".Sent/cur/3 allow none 3", ".Sent/new/4 allow none 4", "cur/1 allow none 1", "new/2 allow none 2"}},
		"folders in folders":              {[]string{"a/b/c.eml", mailTo(1), "a/Sent", mbox, "d.eml", mailTo(4), ".git/HEAD", "ref", ".DS_Store", "x"}, []string{"a/Sent#1 allow none 1", "a/Sent#2 reject too_many_external 12", "a/Sent#3 allow none 3", "a/b/c.eml allow none 1", "d.eml allow none 4"}},
		"an empty mailbox among others":   {[]string{"Drafts", "", "a.eml", mailTo(1)}, []string{"a.eml allow none 1"}},
		"a sender known from delivery":    {[]string{"a.eml", "Return-Path:\n <me@home.example>\nFrom: Me <old@home.example>\nTo: me@home.example\n\n"}, []string{"a.eml allow none 0"}},
		"what a Bcc field holds is gone":  {[]string{"a.eml", "Bcc: a@x.example\n" + mailTo(1)}, []string{"a.eml allow none 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			status, got, stderr := verdicts(t, folder(t, tc.files...))
			want := exitOK
			if strings.Contains(strings.Join(tc.want, "\n"), "reject") {
				want = exitFault
			}
			if status != want || !reflect.DeepEqual(got, tc.want) {
				t.Errorf("status %d, %q\n got %q\nwant %q", status, stderr, got, tc.want)
			}
		})
	}
}

func TestCheckDoesWhatTheConfigurationSays(t *testing.T) {
	dir := folder(t, "a.eml", mailTo(4), "b.eml", "To: a@x.example\rCc: b@x.example\r\rHi")
	config := writeConfig(t, minimal+"policy: {limits: {external: 3}, override: false, bare_newline: normalize}\n")
	status, got, stderr := verdicts(t, dir, "--config", config)
	if want := []string{"a.eml reject too_many_external 4", "b.eml allow none 2"}; status != 1 || !reflect.DeepEqual(got, want) {
		t.Errorf("%d %q %q", status, got, stderr)
	}
	t.Setenv("SENDGUARD_CONFIG", writeConfig(t, minimal+"policy: {action: report, bare_newline: normalize, limits: {external: 3}}\n"))
	status, got, stderr = verdicts(t, dir)
	if want := []string{"a.eml report too_many_external 4", "b.eml allow none 2"}; status != 0 || !reflect.DeepEqual(got, want) || stderr != "" {
		t.Errorf("%d %q %q", status, got, stderr)
	}
}

func TestCheckFindsInvitationsFarInside(t *testing.T) {
	mail := strings.Replace(mailTo(12), "\n\nHello\n", "\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\n", 1)
	far := strings.Repeat("Hello\n", 12_000)
	dir := folder(t, "a.eml", mail+far, "b.eml", mail+far+"--x\nContent-Type:\n text/calendar\n\n")
	_, got, stderr := verdicts(t, dir, "--config", writeConfig(t, minimal+"policy: {action: bcc}\n"))
	if want := []string{"a.eml bcc too_many_external 12", "b.eml reject attendees 12"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q %q", got, stderr)
	}
}

func TestCheckPrintsObjectsWithTheKeysPromised(t *testing.T) {
	withoutConfig(t)
	path := filepath.Join(folder(t, "a&b.eml", strings.Replace(mailTo(40), "Subject", "Cc: c1@x.example, c2@x.example, c3@x.example\nSubject", 1)), "a&b.eml")
	_, out, _ := command(t, "check", "--format", "json", path)
	want := `{"file":"` + path + `","verdict":"reject","rule":"policy","reason":"too_many_external","visible":43,"external":43,"internal":0,"organisations":41,"fields":{"Cc":3,"To":40}}` + "\n"
	if out != want {
		t.Errorf("\n got %s\nwant %s", out, want)
	}
	if _, out, _ = command(t, "check", "--format", "json", folder(t, "a.eml", "Subject: x\n\n")); !strings.Contains(out, `"fields":{}`) {
		t.Error(out)
	}
}

func TestCheckPrintsAnAlignedTable(t *testing.T) {
	withoutConfig(t)
	t.Chdir(folder(t, "a.eml", mailTo(2), "longer.eml", mailTo(12), "x.bin", "To: a@x.example\njunk\n"))
	status, out, stderr := command(t, "check", "longer.eml", "a.eml", "x.bin")
	want := "" +
		"FILE        VERDICT  REASON                     VISIBLE  EXTERNAL  SHOWN IN\n" +
		"longer.eml  reject   too_many_external               12        12  To 12\n" +
		"a.eml       allow    none                             2         2  To 2\n" +
		"x.bin       reject   unreadable_header, line 2        1         1  To 1\n"
	if status != 1 || out != want || stderr != "2 of 3 messages would not pass\n" {
		t.Errorf("%d %q\n%s", status, stderr, out)
	}
}

func TestCheckShowsNoNameThatATerminalObeys(t *testing.T) {
	withoutConfig(t)
	t.Chdir(folder(t, "\x1b[2J.eml", mailTo(1)))
	for _, args := range [][]string{{"."}, {"--summary", "."}} {
		if _, out, _ := command(t, append([]string{"check"}, args...)...); !strings.Contains(out, `"\x1b[2J.eml"`) {
			t.Errorf("%q", out)
		}
	}
}

func TestCheckReadsStandardInput(t *testing.T) {
	withoutConfig(t)
	for text, want := range map[string]string{
		mailTo(2):                         "-     allow",
		mboxLine + mailTo(2):              "-#1   allow",
		mboxLine + "\n" + mboxLine + "\n": "-#2   allow",
	} {
		for _, args := range [][]string{{"check", "-"}, {"check"}} {
			root := rootCommand()
			var out strings.Builder
			root.SetIn(strings.NewReader(text))
			root.SetOut(&out)
			root.SetArgs(args)
			if err := root.Execute(); err != nil || !strings.Contains(out.String(), want) {
				t.Errorf("%q: %v\n%s", text, err, out.String())
			}
		}
	}
}

func TestCheckGoesOnWhereSomethingCannotBeRead(t *testing.T) {
	withoutConfig(t)
	large := "X: " + strings.Repeat("x", 100_000) + "\n"
	dir := folder(t, "a.eml", mailTo(12), "empty/x", "",
		"Sent", mboxLine+strings.Repeat(large, 11)+mailTo(1)+"\n"+mboxLine+"X: "+strings.Repeat("x", 200_000)+"\n\n"+mboxLine+mailTo(1))
	for _, tc := range []struct {
		args           []string
		status         int
		stdout, stderr string
	}{
		{[]string{dir + "/a.eml", dir + "/missing.eml", dir + "/a.eml"}, 2, dir + "/a.eml  reject", dir + "/missing.eml: no such file or directory\n1 could not be read; 2 of 2 messages would not pass\n"},
		{[]string{dir + "/missing.eml"}, 2, "", "missing.eml: no such file"},
		{[]string{dir + "/empty"}, 2, "", "no messages found\n"},
		{[]string{"--summary", dir + "/empty/x"}, 2, "", "no messages found\n"},
		{[]string{dir + "/Sent"}, 2, "Sent#3  allow", dir + "/Sent#1: the header is longer than 1048576 bytes\n" + dir + "/Sent#2: a header line is longer than 131072 bytes\n2 could not be read\n"},
		{[]string{"--config", "/no/such/file", dir}, 2, "", "/no/such/file"},
		{[]string{"--config", writeConfig(t, "x: 1\n"), dir}, 2, "", "unknown key"},
		{[]string{"--format", "xml", dir}, 2, "", `--format "xml" is none of table, json`},
		{[]string{"--format", "json", "--summary", dir}, 2, "", "--summary is text"},
	} {
		status, stdout, stderr := command(t, append([]string{"check"}, tc.args...)...)
		if status != tc.status || !strings.Contains(stdout, tc.stdout) || !strings.Contains(stderr, tc.stderr) {
			t.Errorf("%q: status %d\nstdout %s\nstderr %s", tc.args, status, stdout, stderr)
		}
	}
}

func TestCheckTellsFilesWithoutMailApart(t *testing.T) {
	withoutConfig(t)
	t.Chdir(folder(t, "Mail/a.eml", mailTo(1), "Mail/msgFilterRules.dat", "version=\"9\"\n", "Mail/b\x1b.gz", "\x1f\x8b\x08\x00", "indexes/popstate.dat", "# state\n"))
	left := "\"Mail/b\\x1b.gz\": this is no mail, left out\nMail/msgFilterRules.dat: this is no mail, left out\n"
	for _, tc := range []struct {
		args           []string
		status         int
		stdout, stderr string
	}{
		{[]string{"Mail"}, 0, "Mail/a.eml  allow", left},
		{[]string{"Mail", "--format", "json"}, 0, `{"file":"Mail/a.eml","verdict":"allow"`, left},
		{[]string{"Mail", "--summary"}, 0, "1 message read. Under the policy in force:  allow 1\nLeft out: 2 files without mail.\n", ""},
		{[]string{"indexes", "--summary"}, 2, "", "no messages found: 1 file without mail\n"},
		{[]string{"Mail/a.eml", "Mail/msgFilterRules.dat"}, 2, "Mail/a.eml  allow", "Mail/msgFilterRules.dat: this is no mail\n1 could not be read\n"},
	} {
		status, stdout, stderr := command(t, append([]string{"check"}, tc.args...)...)
		if status != tc.status || !strings.Contains(stdout, tc.stdout) || stderr != tc.stderr {
			t.Errorf("%q: status %d\nstdout %s\nstderr %s", tc.args, status, stdout, stderr)
		}
	}
}

func TestCheckReportsAFolderThatItMayNotRead(t *testing.T) {
	withoutConfig(t)
	dir := folder(t, "a.eml", mailTo(1), "locked/b.eml", mailTo(1))
	os.Chmod(dir+"/locked", 0)
	defer os.Chmod(dir+"/locked", 0o700)
	if _, err := os.ReadDir(dir + "/locked"); err == nil {
		t.Skip("nothing is locked for this user")
	}
	if status, got, stderr := verdicts(t, dir); status != 2 || len(got) != 1 || !strings.Contains(stderr, dir+"/locked: permission denied") {
		t.Errorf("%d %q %q", status, got, stderr)
	}
}

func TestCheckFollowsNoLinkInACircle(t *testing.T) {
	withoutConfig(t)
	dir := folder(t, "a.eml", mailTo(1))
	if os.Symlink(dir, dir+"/again") != nil || os.Symlink(dir+"/a.eml", dir+"/b.eml") != nil || os.Symlink("nowhere", dir+"/c.eml") != nil {
		t.Skip("no links here")
	}
	if status, got, stderr := verdicts(t, dir); status != 2 || len(got) != 2 || !strings.Contains(stderr, "c.eml: no such file") {
		t.Errorf("%d %q %q", status, got, stderr)
	}
}

func TestSummaryHelpsToChooseALimit(t *testing.T) {
	withoutConfig(t)
	var mbox strings.Builder
	for n := range 60 {
		mbox.WriteString(mboxLine + mailTo(n) + "\n")
	}
	t.Chdir(folder(t, "Sent", mbox.String(), "junk.eml", "To: me\njunk\n", "mail/Inbox", "", "mail/Inbox.msf", "// <!-- -->\n", "mail/popstate.dat", "# state\n"))
	status, out, stderr := command(t, "check", "--summary", "Sent", "junk.eml", "mail")
	want := `61 messages read. Under the policy in force:  allow 11  reject 50
Left out: 2 files without mail.
Refused whatever the limits, unreadable_header: 1

How many addresses the messages show
  at least  messages  of all
         5        55  90.2 %
        10        50  82.0 %
        25        35  57.4 %
        50        10  16.4 %
       100         0   0.0 %

The messages that show most
  visible  date        shown in  file
       59  2024-06-03  To 59     Sent#60
       58  2024-06-03  To 58     Sent#59
       57  2024-06-03  To 57     Sent#58
       56  2024-06-03  To 56     Sent#57
       55  2024-06-03  To 55     Sent#56
       54  2024-06-03  To 54     Sent#55
       53  2024-06-03  To 53     Sent#54
       52  2024-06-03  To 52     Sent#53
       51  2024-06-03  To 51     Sent#52
       50  2024-06-03  To 50     Sent#51

What each limit on outside addresses (limits.external) would have stopped
  limit  messages  of all
      5        54  88.5 %
     10        49  80.3 %  (in force)
     15        44  72.1 %
     20        39  63.9 %
     25        34  55.7 %
     30        29  47.5 %
     40        19  31.1 %
     50         9  14.8 %
All addresses are outside ones, since policy.internal_domains is empty.
`
	if status != 1 || out != want || stderr != "50 of 61 messages would not pass\n" {
		t.Errorf("%d %q\n%s", status, stderr, out)
	}
}

func TestCheckShowsNoAddressesAndNoSubjects(t *testing.T) {
	withoutConfig(t)
	t.Chdir(folder(t, "Sent", mboxLine+mailTo(12)+"\n"+mboxLine+"Date: me@home.example\n"+mailTo(60), "a.eml", "To: x.example\n secret@x.example\njunk\n"))
	for _, args := range [][]string{{"Sent", "a.eml"}, {"--summary", "Sent", "a.eml"}, {"--format", "json", "Sent", "a.eml"}} {
		_, out, stderr := command(t, append([]string{"check"}, args...)...)
		if all := out + stderr; strings.Contains(all, "example") || strings.Contains(all, "secret") || strings.Contains(all, "@") {
			t.Errorf("%q:\n%s", args, all)
		}
	}
}

func TestCheckReadsLargeArchives(t *testing.T) {
	withoutConfig(t)
	dir := folder(t, "large.eml", mailTo(3)+strings.Repeat(strings.Repeat("x", 75)+"\n", 30<<20/76))
	f, err := os.Create(dir + "/many")
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	for range 50_000 {
		w.WriteString(mboxLine + "From: me@home.example\nTo: a@x.example\n\nHello\n\n")
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
	status, out, stderr := command(t, "check", "--summary", dir)
	if status != 0 || !strings.HasPrefix(out, "50001 messages read. Under the policy in force:  allow 50001\n") {
		t.Errorf("%d %q\n%s", status, stderr, out)
	}
}
