package mail

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzScan: whatever stands round an address, it counts.
func FuzzScan(f *testing.F) {
	for _, s := range []string{"", "\"", "(", "<", "a@b.org,", "(((", "\"\\", "team:", "=?utf-8?q?", "[", "@", "a@[", "'", "x@y(", "((a)", "\r\n ", ";", "Ann @"} {
		f.Add([]byte(s), []byte(""))
		f.Add([]byte(s), []byte("\", (\">)]b@c.org"))
	}
	for _, v := range corpusValues(f) {
		f.Add(v, v)
	}
	f.Fuzz(func(t *testing.T, before, after []byte) {
		if bytes.Contains(before, EncodedWordStart) && bytes.Contains(after, []byte("?=")) {
			return // it may be inside of an encoded word
		}
		if bytes.IndexByte(before, '"') >= 0 && bytes.Contains(after, []byte("\"")) && bytes.IndexByte(after, '@') >= 0 {
			return // it may be a part of a quoted local part
		}
		value := append(append(bytes.Clone(before), " probe@probe.example "...), after...)
		found := false
		ScanAddresses(value, func(local, domain []byte) {
			found = found || strings.HasSuffix(string(NormalLocal(nil, local)), "probe") && strings.HasPrefix(string(NormalDomain(nil, domain)), "probe.example")
		})
		if !found {
			t.Fatalf("%q does not show probe@probe.example", value)
		}
	})
}

// corpusValues are the address headers of address_cases.jsonl in the folder
// that SENDGUARD_CORPUS names, where it does.
func corpusValues(f *testing.F) (all [][]byte) {
	dir := os.Getenv("SENDGUARD_CORPUS")
	if dir == "" {
		return nil
	}
	file, err := os.Open(filepath.Join(dir, "address_cases.jsonl"))
	if err != nil {
		f.Fatal(err)
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
			f.Fatal(err)
		}
		value := []byte(c.Value)
		if c.Base64 != "" {
			if value, err = base64.StdEncoding.DecodeString(c.Base64); err != nil {
				f.Fatal(err)
			}
		}
		all = append(all, value)
	}
	return all
}
