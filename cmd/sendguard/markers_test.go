//go:build unix

package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A marker is a text that is nowhere else. It stands in all that must not be told, with
// a word of where before it.
type marker string

func newMarker() marker { return marker("q" + strings.ToLower(rand.Text())) }

func (m marker) of(where string) string { return where + string(m) }
func (m marker) address(where string) string {
	return where + string(m) + "@" + where + string(m) + ".example"
}

// in returns what a text says around the marker: as it is, in quoted-printable, or in
// base64 of either alphabet, wherever in a group of three bytes it begins.
func (m marker) in(text string) string {
	decoded, _ := io.ReadAll(quotedprintable.NewReader(strings.NewReader(text)))
	for _, view := range []string{strings.ToLower(text), strings.ToLower(string(decoded))} {
		if at := strings.Index(view, string(m)); at >= 0 {
			return view[max(0, at-200):min(len(view), at+100)]
		}
	}
	for begin := range 3 {
		whole := string(m[(3-begin)%3:]) // what stands in whole groups
		for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			encoded := encoding.EncodeToString([]byte(whole[:len(whole)/3*3]))
			if at := strings.Index(text, encoded); at >= 0 {
				return text[max(0, at-200):min(len(text), at+100)]
			}
		}
	}
	return ""
}

func TestAMarkerIsFoundHoweverItIsSpelled(t *testing.T) {
	m := newMarker()
	for before := range 4 {
		text := strings.Repeat("\xff", before) + string(m) + ">>>"
		var printable bytes.Buffer
		w := quotedprintable.NewWriter(&printable)
		w.Write([]byte(strings.Repeat("é", 10+before) + text))
		w.Close()
		for _, spelled := range []string{text, strings.ToUpper(text), base64.StdEncoding.EncodeToString([]byte(text)), base64.URLEncoding.EncodeToString([]byte(text)), printable.String()} {
			if m.in("a log: "+spelled+"\n") == "" {
				t.Errorf("not found in %q", spelled)
			}
		}
	}
	if found := m.in("a log: " + string(newMarker())); found != "" {
		t.Errorf("found %q", found)
	}
}

// A talkative upstream repeats to the guard what it hears, in all its replies.
func talkative(t *testing.T, m marker) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go talkTo(conn, m)
		}
	}()
	return l.Addr().String()
}

func talkTo(conn net.Conn, m marker) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(4 * patience))
	fmt.Fprintf(conn, "220 %s ESMTP\r\n", m.of("banner"))
	inMessage, unwanted, questions := false, false, 0
	robot := base64.StdEncoding.EncodeToString([]byte("\x00" + m.of("robot")))[:12]
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		line, code := lines.Text(), "250 2.0.0 "
		switch verb, _, _ := strings.Cut(strings.ToUpper(line), " "); {
		case inMessage && line != ".":
			unwanted = unwanted || strings.Contains(line, "unwanted")
			continue
		case verb == "EHLO":
			fmt.Fprintf(conn, "250-%s\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN\r\n", m.of("host"))
			continue
		case line == "AUTH LOGIN":
			code, questions = "334 ", 2
		case questions > 1:
			code, questions = "334 ", 1
		case strings.Contains(line, m.of("good")) || strings.Contains(line, robot):
			code = "235 2.7.0 "
		case verb == "AUTH" || questions == 1:
			code, questions = "535 5.7.8 ", 0
		case strings.Contains(line, "refused") || line == "." && unwanted:
			code = "550 5.1.1 "
		case verb == "DATA":
			code = "354 "
		}
		inMessage = code == "354 "
		fmt.Fprintf(conn, "%s%s %s\r\n", code, m.of("reply"), line)
	}
}

// speak says lines to a listener and returns the codes that it was told. A message is one
// line, with its final dot.
func speak(t *testing.T, address string, lines ...string) (codes string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * patience))
	r := bufio.NewReader(conn)
	for _, line := range append([]string{""}, lines...) {
		if line != "" {
			io.WriteString(conn, line+"\r\n")
		}
		for {
			told, err := r.ReadString('\n')
			if err != nil {
				return codes + "end"
			}
			if told[3] != '-' {
				codes += told[:3] + " "
				break
			}
		}
	}
	return codes
}

// marked is a message that has the marker in all its parts.
func (m marker) message(from string, to int, more string) string {
	var all []string
	for n := range to {
		all = append(all, fmt.Sprintf("\"%s\" <%s>", m.of("name"), m.address(fmt.Sprint("to", n))))
	}
	return fmt.Sprintf("From: %s\r\nTo: %s\r\nBcc: %s\r\nSubject: =?utf-8?b?%s?= %s\r\nMessage-ID: <%s>\r\n%s: x\r\nContent-Type: text/plain; name=%s\r\n\r\n%s %s\r\n%s\r\n.",
		m.address(from), strings.Join(all, ",\r\n "), m.address("bcc"), base64.StdEncoding.EncodeToString([]byte(m.of("subject"))), m.of("subject"), m.address("id"),
		m.of("X-Field-"), m.of("file"), m.address("body"), m.of("text"), more)
}

// conversations has all kinds of mail go through all routes, and be refused.
func (m marker) conversations(t *testing.T, p *process) {
	address := func(route string) string { return p.out.find(t, listening(route))[1] }
	login := func(name, password string) string {
		return "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+name+"\x00"+password))
	}
	ehlo := "EHLO " + m.of("client") + ".example"
	mail := func(from string, to int, more string) []string {
		return []string{"MAIL FROM:<" + m.address(from) + ">", "RCPT TO:<" + m.address("rcpt") + ">", "RCPT TO:<" + m.address("second") + ">", "DATA", m.message(from, to, more)}
	}
	say := func(want, route string, lines ...string) {
		t.Helper()
		if got := speak(t, address(route), lines...); got != want {
			t.Errorf("%s was told %s, want %s", route, got, want)
		}
	}
	long := strings.Repeat(m.of("long ")+"\r\n", 40_000) // more than is held in memory
	sent, refused := "250 250 250 354 250 ", "250 250 250 354 550 "
	say("220 250 502 500 501 250 252 "+sent+refused+"221 ", "work", append(append(append([]string{ehlo, m.of("verb"), m.of("\x01"), "DATA " + m.of("x"), "NOOP " + m.of("x"), "VRFY " + m.of("x")}, mail("from", 2, "")...), mail("from", 20, "")...), "QUIT")...)
	say("220 250 "+sent, "work", append([]string{ehlo}, mail("copies", 20, long)...)...)
	say("220 250 "+sent, "work", append([]string{ehlo}, mail("bcc", 20, "")...)...)
	say("220 250 535 334 334 535 235 "+refused+"250 250 550 354 550 ", "relay", append(append([]string{ehlo, login(m.of("wrong"), m.of("password")), "AUTH LOGIN", base64.StdEncoding.EncodeToString([]byte(m.of("user"))),
		base64.StdEncoding.EncodeToString([]byte(m.of("password"))), "AUTH PLAIN " + m.of("good")}, mail("from", 20, "")...),
		"MAIL FROM:<"+m.address("from")+">", "RCPT TO:<"+m.address("rcpt")+">", "RCPT TO:<"+m.address("refused")+">", "DATA", m.message("from", 1, m.of("unwanted")))...)
	say("220 250 535 235 "+sent, "users", append([]string{ehlo, login(m.of("alice"), m.of("wrong")), login(m.of("alice"), m.of("secret"))}, mail("from", 2, "")...)...)
	say("220 250 "+sent, "login", append([]string{ehlo}, mail("from", 2, "")...)...)
	say("220 451 451 ", "guess", ehlo, ehlo)
	say("220 421 421 ", "nobody", ehlo, ehlo)
}

// listening is the line of the log, in either format, that says where a route listens.
func listening(route string) string {
	return `msg"?[=:]"?listening"?.*route"?[=:]"?` + route + `"?.*listen"?[=:]"?([^\s",}]+)`
}

// What people write, and who they are, is told nowhere: not in the log at debug, not in
// the metrics, not in the list of processes, and not on the disk.
func TestNoSecretAddressSubjectOrNameIsTold(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			m, dir := newMarker(), t.TempDir()
			upstream := talkative(t, m)
			for name, text := range map[string]string{"users": m.of("alice") + ":" + hashOf(t, m.of("secret")) + "\n", "password": m.of("password") + "\n", "spool/none": "", "state/none": ""} {
				os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700)
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			config := strings.NewReplacer("DIR", dir, "UP", upstream, "LISTEN", "listen: \"127.0.0.1:0\"", "ROBOT", m.of("robot"), "DOMAIN", m.of("internal")+".example", "FORMAT", format,
				"COPIES", m.address("copies"), "HIDES", m.address("bcc")).Replace(`
  - {name: relay, LISTEN, upstream: {address: "UP", tls: none}}
  - {name: users, LISTEN, users_file: "DIR/users", upstream: {address: "UP", tls: none, auth: none}}
  - {name: login, LISTEN, upstream: {address: "UP", tls: none, auth: login, username: ROBOT, password_file: "DIR/password"}}
  - {name: guess, LISTEN, upstream: {address: "UP", tls: none, auth: login, username: guessROBOT, password_command: "cat DIR/password"}}
  - {name: nobody, LISTEN, upstream: {address: "127.0.0.1:1", tls: none, auth: none}}
policy:
  internal_domains: [DOMAIN]
  limits: {external: 3}
  inspect: {body: true}
  individual: {state: "bolt:DIR/state/sends"}
  rules: [{name: copies, match: {from: [COPIES]}, action: individual}, {name: hides, match: {from: [HIDES]}, action: bcc}]
server: {spool_dir: "DIR/spool"}
log: {level: debug, format: FORMAT, client_address: true}
metrics: {listen: "127.0.0.1:0"}
`)[1:]
			p := startProcess(t, config)
			m.conversations(t, p)
			told := map[string]string{"the metrics": scrape(t, "http://"+p.metrics+"/metrics"), "the list of processes": processes(t)}
			told["the state"], told["the spool"] = onDisk(t, filepath.Join(dir, "state")), onDisk(t, filepath.Join(dir, "spool"))
			p.stop()
			told["the log"] = p.out.String()
			for where, text := range told {
				if found := m.in(text); found != "" {
					t.Errorf("%s tells %s", where, found)
				}
			}
			for _, what := range []string{"accepted", "refused_by_policy", "refused_by_upstream", "individual", "bcc", "client_login", "535 5.7.8", "connect", "verb"} {
				if !strings.Contains(told["the log"], what) {
					t.Errorf("the log has no %s:\n%s", what, told["the log"])
				}
			}
		})
	}
}

func hashOf(t *testing.T, password string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "users")
	cmd := sendguard(t, "user", "x", "--file", file)
	cmd.Stdin = strings.NewReader(password + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(strings.TrimPrefix(string(text), "x:"))
}

func sendguard(t *testing.T, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asChild+"=1")
	return cmd
}

func scrape(t *testing.T, url string) string {
	t.Helper()
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || len(text) == 0 {
		t.Fatalf("%s: %v, %d bytes", url, err, len(text))
	}
	return string(text)
}

// processes is what ps shows of all processes.
func processes(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ps", "-A", "-o", "args").Output()
	if err != nil || !strings.Contains(string(out), "serve") {
		t.Fatalf("ps: %v\n%s", err, out)
	}
	return string(out)
}

// onDisk is all that files in it are named and hold.
func onDisk(t *testing.T, path string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(path, func(name string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		fmt.Fprintf(&all, "%s\n%s\n", name, text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
