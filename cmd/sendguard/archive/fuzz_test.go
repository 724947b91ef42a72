package archive

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// FuzzReader: whatever a file holds, its messages come to an end, and their
// lines end in CRLF.
func FuzzReader(f *testing.F) {
	f.Add([]byte("From a Mon Nov 23 12:00:00 2026\nTo: a@x.example\n\nbody\n\nFrom b Mon Nov 23 12:00:00 2026\r\nTo: b@x.example\r\n"))
	f.Add([]byte("To: a@x.example\r\n\r\nbody\r\n"))
	f.Add([]byte("\nFrom \n\n\r\r\n"))
	f.Add([]byte("\xef\xbb\xbf20\nTo: a@x.example\rFrom \r"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := NewReader(bytes.NewReader(text), guard)
		if err == ErrNoMail {
			return
		}
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

// pieces hands out a few bytes at a time.
type pieces struct {
	r    io.Reader
	size int
}

func (p pieces) Read(b []byte) (int, error) { return p.r.Read(b[:min(len(b), p.size)]) }

var fromInText = regexp.MustCompile(`(?m)^>*From `)

// FuzzJoinedMessages: of messages that were written one after the other, behind
// whatever separator, as many come back, with the bodies that they had.
func FuzzJoinedMessages(f *testing.F) {
	for _, separator := range []string{"", "- Mon Jun 03 10:00:00 2024", "me@home.example", "me@home.example lun. juin  3 10:00:00 24", "me@home.example 2024-06-03 10:00:00", "a b: c"} {
		f.Add(separator, "Hello\n\nFrom here on\nTo: many\n", uint8(3), uint16(1), false, false)
		f.Add(separator, "", uint8(2), uint16(4096), true, true)
		f.Add(separator, strings.Repeat("x", bufferSize)+"\nFrom \n", uint8(9), uint16(100), true, false)
	}
	inside := "- Mon Jun 03 10:00:00 2024" // a line, at the end of a buffer
	f.Add(inside, strings.Repeat("x", bufferSize)+"From "+inside+"\nTo: a@x.example\n", uint8(2), uint16(4096), false, false)
	f.Fuzz(func(t *testing.T, separator, body string, count uint8, size uint16, blank, cr bool) {
		separator = "From " + separator + "\n"
		if !isMbox([]byte(separator)) || len(separator) > maxSeparator || strings.Count(separator, "\n") > 1 || strings.Contains(separator, "\r") {
			return
		}
		body = fromInText.ReplaceAllString(body, ">$0")
		if cr {
			body = strings.ReplaceAll(body, "\r", "")
		}
		if body != "" && !strings.HasSuffix(body, "\n") {
			body += "\n"
		}
		if blank {
			body += "\n"
		}
		var text strings.Builder
		var want []string
		for i := range count {
			fmt.Fprintf(&text, "%sTo: a%d@x.example\n\n%s", separator, i, body)
			want = append(want, fmt.Sprintf("To: a%d@x.example\r\n\r\n%s", i, body))
		}
		file := text.String()
		if cr {
			file = strings.ReplaceAll(file, "\n", "\r")
		}
		r, err := NewReader(pieces{strings.NewReader(file), int(size) + 1}, guard)
		if err != nil {
			t.Fatal(err)
		}
		if got := readMessages(t, r); !slices.Equal(got, want) {
			t.Fatalf("%d messages of %d\n got %.2000q\nwant %.2000q", len(got), count, got, want)
		}
	})
}

func readMessages(t *testing.T, r *Reader) (messages []string) {
	t.Helper()
	for {
		header, err := r.Next()
		if err == io.EOF {
			return messages
		}
		if err != nil {
			t.Fatal(err)
		}
		message := string(header)
		for {
			text, err := r.Piece()
			message += string(text)
			if err == io.EOF {
				break
			}
		}
		messages = append(messages, message)
	}
}

// repeated is a text as often as it fits into so many bytes.
type repeated struct {
	text     string
	at, left int
}

func (e *repeated) Read(b []byte) (n int, err error) {
	if e.left <= 0 {
		return 0, io.EOF
	}
	b = b[:min(len(b), e.left)]
	for n < len(b) {
		copied := copy(b[n:], e.text[e.at:])
		e.at = (e.at + copied) % len(e.text)
		n += copied
	}
	e.left -= n
	return n, nil
}

// hostile are texts that have much be looked at, or held, if anything is.
var hostile = map[string]string{
	"separators without header": "From \n",
	"fields behind separators":  "From - x\nX: y\nX: y\n",
	"header that does not end":  "From - x\n" + strings.Repeat("X: y\n", 4000) + "no\n",
	"one line":                  strings.Repeat("x", 4096),
	"one message":               "\nFrom the desk\n",
}

// readHostile reads a text again and again, in an mbox that begins well, and
// returns how many messages there were.
func readHostile(tb testing.TB, text string, size int) (messages int) {
	few := Options{HeaderBytes: 32 << 10, LineBytes: 32 << 10}
	r, err := NewReader(io.MultiReader(strings.NewReader("From - x\nTo: a@x.example\n\n"), &repeated{text: text, left: size}), few)
	if err != nil {
		tb.Fatal(err)
	}
	for ; err != io.EOF; messages++ {
		_, err = r.Next() // or a header that is too long
	}
	return messages - 1
}

func TestAnArchiveIsNotHeldInMemory(t *testing.T) {
	for name, text := range hostile {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			messages := readHostile(t, text, 4<<20)
			runtime.ReadMemStats(&after)
			if held := after.TotalAlloc - before.TotalAlloc; held > 512<<10 || messages > 2 {
				t.Errorf("%d messages, %d bytes", messages, held)
			}
		})
	}
}

// BenchmarkReader shows the same MB/s for both sizes: time grows as the file.
func BenchmarkReader(b *testing.B) {
	for name, text := range hostile {
		for _, size := range []int{1 << 20, 32 << 20} {
			b.Run(fmt.Sprintf("%s/%dMiB", strings.ReplaceAll(name, " ", "_"), size>>20), func(b *testing.B) {
				b.SetBytes(int64(size))
				for range b.N {
					readHostile(b, text, size)
				}
			})
		}
	}
}
