package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// readSeeds returns the messages that are mutated: the cases of policy/testdata,
// and those of the folder that SENDGUARD_CORPUS names, with no address of anybody
// left in them.
func readSeeds(what string) (all []message, err error) {
	paths, err := filepath.Glob("../../../policy/testdata/*/*.txt")
	if err != nil || len(paths) == 0 {
		return nil, fmt.Errorf("no cases in policy/testdata: %v", err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		all = append(all, parse(anonymous(wire(string(text)))))
	}
	if dir := os.Getenv("SENDGUARD_CORPUS"); dir != "" {
		if what != "bodies" {
			if all, err = appendAddressCases(all, filepath.Join(dir, "address_cases.jsonl")); err != nil {
				return nil, err
			}
		}
		err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && strings.Contains(path, "/eml/") || strings.HasSuffix(path, ".eml") {
				m, err := readMessage(path)
				if err == nil && !entry.IsDir() {
					all = append(all, parse(anonymous(m.text())))
				}
			}
			return err
		})
	}
	var short []message
	if what == "values" {
		all = toValues(all)
	}
	for _, m := range all {
		if what != "values" {
			m.header = matters.ReplaceAllFunc(m.header, func(field []byte) []byte {
				if shows.Match(field) {
					return field
				}
				return nil
			})
		}
		if what == "headers" && !wraps.Match(m.header) {
			m.body = nil
		}
		if len(m.header) <= maxSeed && len(m.body) <= maxSeed {
			short = append(short, m)
		}
	}
	return short, err
}

// toValues makes a message with one field of the values of fields that show
// addresses.
func toValues(all []message) (values []message) {
	for _, m := range all {
		inFields(func(value []byte) []byte {
			if len(value) < maxSeed/2 {
				values = append(values, message{header: append([]byte(fieldTo), value...)})
			}
			return value
		})(message{header: m.header})
	}
	return values
}

// maxSeed keeps messages short, and the comparing fast.
const maxSeed = 500

// Of a header, the fields are left that may matter.
var (
	matters = regexp.MustCompile(`(?m)^[^\s:]+[ \t]*:(?:[^\n]|\n[ \t])*\n`)
	shows   = regexp.MustCompile(`(?i)^(?:(?:Resent-)?(?:To|Cc)|[^:]*Bcc|From|Sender|(?:Mail-)?(?:Reply|Followup)-To|Apparently-To|Subject|X-Notes-Item|DKIM-Signature|Content-[^:]*)[ \t]*:`)
	wraps   = regexp.MustCompile(`(?im)^Content-Type:[ \t]*(?:multipart|message)`)
)

// readMessage reads a file as mail, with CRLF.
func readMessage(path string) (message, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return message{}, err
	}
	text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
	if bytes.HasPrefix(text, []byte("From ")) {
		_, text, _ = bytes.Cut(text, []byte("\r\n"))
	}
	return parse(text), nil
}

// appendAddressCases appends a message for each value of a field in a file of JSON
// lines.
func appendAddressCases(all []message, path string) ([]message, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var c struct {
			Value  string `json:"header_value"`
			Base64 string `json:"header_value_b64"`
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return nil, err
		}
		value := []byte(c.Value)
		if c.Base64 != "" {
			if value, err = base64.StdEncoding.DecodeString(c.Base64); err != nil {
				return nil, err
			}
		}
		value = bytes.ReplaceAll(bytes.ReplaceAll(value, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
		all = append(all, message{header: anonymous([]byte("To: " + string(value) + "\r\n\r\n"))})
	}
	return all, lines.Err()
}

// wire returns the message of a case as it is sent (see policy/internal/casefile).
// What is repeated is so three times at most.
func wire(text string) (out []byte) {
	_, text, _ = strings.Cut(text, "\n\n")
	text, _, _ = strings.Cut(text, "\n---\n")
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, `\*`); ok {
			count, pattern, _ := strings.Cut(rest, " ")
			n, _ := strconv.Atoi(count)
			for i := range min(n, 3) {
				out = append(out, strings.ReplaceAll(pattern, "%d", strconv.Itoa(i))...)
			}
			continue
		}
		line = escapes.ReplaceAllStringFunc(line, func(code string) string {
			switch code {
			case `\r`:
				return "\r"
			case `\n`:
				return "\n"
			}
			n, _ := strconv.ParseUint(code[2:], 16, 8)
			return string([]byte{byte(n)})
		})
		out = append(append(out, line...), "\r\n"...)
	}
	return out
}

var escapes = regexp.MustCompile(`\\r|\\n|\\x[0-9a-fA-F]{2}`)

// anonymous gives all addresses names of ours: what stands before an @ keeps its
// form and no letter, and so do domains, but for their end.
func anonymous(text []byte) []byte {
	return address.ReplaceAllFunc(text, func(a []byte) []byte {
		local, domain, _ := bytes.Cut(a, []byte("@"))
		local = letters.ReplaceAllFunc(local, nobody)
		if bytes.Contains(domain, []byte(".")) && !kept.Match(domain) {
			domain = letters.ReplaceAllFunc(domain, nobody)
			domain = append(domain[:bytes.LastIndexByte(domain, '.')], ".example"...)
		}
		return append(append(local, '@'), domain...)
	})
}

var (
	address = regexp.MustCompile(`[\w.+'-]+@[\w.-]*\w`)
	letters = regexp.MustCompile(`[a-zA-Z]+`)
	kept    = regexp.MustCompile(`(?:^[\d.]+$|\.(?:example|local|internal|lan|test|invalid|png|service|x)$)`)
)

// nobody is a short word in place of one.
func nobody(word []byte) []byte {
	sum := 0
	for _, c := range word {
		sum = sum*31 + int(c|0x20)
	}
	return []byte{'a' + byte(sum%26+26)%26, 'a' + byte(sum/26%26+26)%26}
}
