package archive

import (
	"bytes"
	"io"
	"testing"
)

// FuzzReader: whatever a file holds, its messages come to an end, and their
// lines end in CRLF.
func FuzzReader(f *testing.F) {
	f.Add([]byte("From a Mon Nov 23 12:00:00 2026\nTo: a@x.example\n\nbody\n\nFrom b Mon Nov 23 12:00:00 2026\r\nTo: b@x.example\r\n"))
	f.Add([]byte("To: a@x.example\r\n\r\nbody\r\n"))
	f.Add([]byte("\nFrom \n\n\r\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := NewReader(bytes.NewReader(text), Limits{HeaderBytes: 1 << 20, LineBytes: 1 << 17})
		if err != nil {
			t.Fatal(err)
		}
		for n := 0; ; n++ {
			header, err := m.Next()
			if err == io.EOF {
				return
			}
			if n > len(text) {
				t.Fatal("the messages do not end")
			}
			if err == nil && bytes.Contains(bytes.ReplaceAll(header, []byte("\r\n"), nil), []byte("\n")) {
				t.Fatalf("header %q", header)
			}
		}
	})
}
