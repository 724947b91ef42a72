package container

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// seen is what was read of a container: each member, those inside of members too, and
// what is no member.
type seen struct {
	bounds  *Bounds
	members []*member
	outside bytes.Buffer
}

// A member takes what a member holds, which may be a container.
type member struct {
	bytes.Buffer
	level  int
	asText bool
	inside io.WriteCloser
}

func (m *member) Write(p []byte) (int, error) {
	if m.inside != nil {
		m.inside.Write(p)
	}
	return m.Buffer.Write(p)
}

func (m *member) Close() error {
	if m.inside != nil {
		return m.inside.Close()
	}
	return nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func (s *seen) readers() Readers {
	return Readers{
		Member: func(level int, asText bool) io.WriteCloser {
			m := &member{level: level, asText: asText, inside: s.bounds.Zip(level, s.readers())}
			s.members = append(s.members, m)
			return m
		},
		Text: func() io.WriteCloser { return nopCloser{&s.outside} },
	}
}

// texts are the members as they were read, without those that are zip files.
func (s *seen) texts() (all []string) {
	for _, m := range s.members {
		if !bytes.HasPrefix(m.Bytes(), []byte("PK")) {
			all = append(all, m.String())
		}
	}
	return all
}

// read reads a container in pieces of so many bytes.
func read(file []byte, piece int) *seen {
	s := &seen{bounds: NewBounds(nil)}
	s.bounds.Sent(len(file))
	to := s.bounds.Zip(0, s.readers())
	if IsGzip(file) {
		to = s.bounds.Gzip(0, s.readers())
	}
	for p := range slices.Chunk(file, piece) {
		p = bytes.Clone(p)
		to.Write(p)
		clear(p) // it is not kept
	}
	to.Close()
	s.bounds.Close()
	return s
}

// An entry is a member as it is to be written.
type entry struct {
	name, data string
	stored     bool
	descriptor string // "": the sizes stand before the data; signed, unsigned, or signed64, unsigned64
	zip64      bool
	flags      uint16
	method     uint16 // if it is neither of those
}

// write writes a zip file by hand, for archive/zip writes one form of it.
func write(entries ...entry) []byte {
	var out []byte
	for _, e := range entries {
		out = e.append(out)
	}
	directory := len(out)
	for _, e := range entries {
		out = append(out, centralSignature...)
		out = append(out, make([]byte, 24)...)
		out = little.AppendUint16(out, uint16(len(e.name)))
		out = append(out, make([]byte, 16)...)
		out = append(out, e.name...)
	}
	out = append(out, endSignature...)
	out = append(out, make([]byte, 8)...)
	out = little.AppendUint32(out, uint32(len(out)-directory))
	out = little.AppendUint32(out, uint32(directory))
	return append(out, 0, 0)
}

func (e *entry) append(out []byte) []byte {
	data, method := []byte(e.data), uint16(stored)
	if !e.stored {
		var b bytes.Buffer
		w, _ := flate.NewWriter(&b, 6)
		w.Write(data)
		w.Close()
		data, method = b.Bytes(), deflated
	}
	flags, sum := e.flags, crc32.ChecksumIEEE([]byte(e.data))
	size, full := uint32(len(data)), uint32(len(e.data))
	var extra []byte
	if e.zip64 {
		extra = little.AppendUint16(extra, 1)
		extra = little.AppendUint16(extra, 16)
		extra = little.AppendUint64(extra, uint64(full))
		extra = little.AppendUint64(extra, uint64(size))
		size, full = 0xffffffff, 0xffffffff
	}
	if e.descriptor != "" {
		flags |= flagDescriptor
		size, full = 0, 0
	}
	out = append(out, localSignature...)
	out = little.AppendUint16(out, 45)
	out = little.AppendUint16(out, flags)
	out = little.AppendUint16(out, max(method, e.method))
	out = append(out, 0, 0, 0, 0)
	out = little.AppendUint32(out, sum)
	out = little.AppendUint32(out, size)
	out = little.AppendUint32(out, full)
	out = little.AppendUint16(out, uint16(len(e.name)))
	out = little.AppendUint16(out, uint16(len(extra)))
	out = append(append(append(out, e.name...), extra...), data...)
	return e.appendDescriptor(out, sum, len(data))
}

func (e *entry) appendDescriptor(out []byte, sum uint32, size int) []byte {
	if e.descriptor == "" {
		return out
	}
	if strings.HasPrefix(e.descriptor, "signed") {
		out = append(out, descriptorSignature...)
	}
	out = little.AppendUint32(out, sum)
	if strings.HasSuffix(e.descriptor, "64") {
		out = little.AppendUint64(out, uint64(size))
		return little.AppendUint64(out, uint64(len(e.data)))
	}
	out = little.AppendUint32(out, uint32(size))
	return little.AppendUint32(out, uint32(len(e.data)))
}

// names is a text of so many lines.
func names(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "p%d@x%d.example\n", i, i%7)
	}
	return b.String()
}

// noise is the same for the same n, and cannot be compressed.
func noise(n int) []byte {
	r := rand.NewChaCha8([32]byte{byte(n)})
	p := make([]byte, n)
	r.Read(p)
	return p
}

func TestMembersAreReadHoweverTheyAreWritten(t *testing.T) {
	long, short := names(3000), names(2)
	for _, zip64 := range []bool{false, true} {
		for _, stored := range []bool{false, true} {
			for _, descriptor := range []string{"", "signed", "unsigned", "signed64", "unsigned64"} {
				var entries []entry
				for i, data := range []string{long, "", short, long} {
					entries = append(entries, entry{name: fmt.Sprint(i), data: data, stored: stored, descriptor: descriptor, zip64: zip64})
				}
				file := write(entries...)
				for name, file := range map[string][]byte{
					"as it is":       file,
					"behind a start": append(append([]byte("#!/bin/sh\nPK\x03\x04PK"), noise(5000)...), file...),
				} {
					if got := read(file, 1000).texts(); !slices.Equal(got, []string{long, "", short, long}) {
						t.Errorf("%s, zip64 %v, stored %v, descriptor %q: %d members", name, zip64, stored, descriptor, len(got))
					}
				}
			}
		}
	}
}

func TestArchivesInsideOfOthersAreRead(t *testing.T) {
	list := names(100)
	file := []byte(list)
	for level := range maxLevels {
		e := entry{name: "inner", data: string(file), stored: level%2 == 0}
		if level > 2 {
			e.descriptor = "signed"
		}
		file = write(e, entry{name: "beside", data: fmt.Sprint(level)})
	}
	s := read(file, 777)
	if got := s.texts(); s.bounds.Over() || !slices.Contains(got, list) || len(got) != maxLevels+1 {
		t.Errorf("over %v, %d members", s.bounds.Over(), len(got))
	}
	if s.bounds.Found().Containers != maxLevels {
		t.Errorf("%d containers", s.bounds.Found().Containers)
	}
	if s := read(write(entry{name: "inner", data: string(file)}), 777); !s.bounds.Over() {
		t.Error("one more is not too many")
	}
}

func TestWhatDoesNotParseIsReadAsText(t *testing.T) {
	list := names(50)
	for name, file := range map[string][]byte{
		"text said to be deflated":            write(entry{name: "a", data: list, stored: true, method: deflated}),
		"text in an unknown method":           write(entry{name: "a", data: list, stored: true, method: 97}),
		"text where the next member would be": append(append(write(entry{name: "a", data: "x"}), list...), write(entry{name: "b", data: "y"})...),
		"text behind gzip":                    append(gzipped("x"), list...),
	} {
		s := read(file, 100)
		if !strings.Contains(s.outside.String(), list) {
			t.Errorf("%s: not read", name)
		}
		if strings.Contains(name, "next") && !slices.Equal(s.texts(), []string{"x", "y"}) {
			t.Errorf("%s: %q", name, s.texts())
		}
	}
}

func TestNamesAndCommentsAreReadAsText(t *testing.T) {
	file := write(entry{name: "to ann@x.example", data: "x", stored: true})
	little.PutUint16(file[len(file)-2:], 4)
	file = append(file, "bob!"...)
	lines := strings.Split(read(file, 10).outside.String(), "\n")
	if !slices.Contains(lines, "to ann@x.example") || lines[len(lines)-1] != "bob!" {
		t.Errorf("%q", lines)
	}
}

func TestAMemberThatIsCutShortIsReadAsFarAsItGoes(t *testing.T) {
	list := names(5000)
	for _, stored := range []bool{false, true} {
		for _, descriptor := range []string{"", "signed"} {
			file := write(entry{name: "a", data: list, stored: stored, descriptor: descriptor})
			got := read(file[:len(file)/2], 100).texts()
			if len(got) != 1 || len(got[0]) < len(list)/3 || !strings.HasPrefix(list, got[0]) {
				t.Errorf("stored %v, descriptor %q: %d of %d bytes", stored, descriptor, len(got[0]), len(list))
			}
		}
	}
}

func TestAStoredMemberWithoutALengthIsReadAsTextToo(t *testing.T) {
	inner := write(entry{name: "in", data: "inside"})
	s := read(write(entry{name: "a", data: string(inner), stored: true, descriptor: "signed"}), 1<<20)
	if !s.members[0].asText || s.members[0].String() != string(inner) {
		t.Error("it is not")
	}
	if !slices.Equal(s.texts(), []string{"inside"}) {
		t.Errorf("%q", s.texts())
	}
}

func TestEncryptedMembersAreNotReadButTold(t *testing.T) {
	list := names(50)
	for _, descriptor := range []string{"", "signed"} {
		file := write(entry{name: "a", data: list, stored: true, flags: flagEncrypted}, entry{name: "b", data: "plain", descriptor: descriptor})
		s := read(file, 100)
		if got := s.texts(); !slices.Equal(got, []string{"plain"}) || strings.Contains(s.outside.String(), "p1@") {
			t.Errorf("%q", got)
		}
		if s.bounds.Found().Encrypted != 1 {
			t.Errorf("%+v", s.bounds.Found())
		}
	}
}

func TestMembersOfAGzipFileAreOneFile(t *testing.T) {
	list := names(1000)
	file := append(gzipped(list[:777]), gzipped(list[777:])...)
	s := read(file, 100)
	if got := s.texts(); !slices.Equal(got, []string{list}) || s.bounds.Found().Containers != 1 {
		t.Errorf("%d members", len(got))
	}
}

func gzipped(data string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(data))
	w.Close()
	return b.Bytes()
}

// TestTheStandardLibraryWritesWhatIsRead: another writer than the one above.
func TestTheStandardLibraryWritesWhatIsRead(t *testing.T) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	w.SetComment("a comment")
	var want []string
	for i, method := range []uint16{zip.Deflate, zip.Store, zip.Deflate, zip.Store} {
		f, _ := w.CreateHeader(&zip.FileHeader{Name: fmt.Sprint(i), Method: method})
		want = append(want, names(i*1000))
		f.Write([]byte(want[i]))
	}
	w.Close()
	if got := read(b.Bytes(), 100).texts(); !slices.Equal(got, want) {
		t.Errorf("%d members", len(got))
	}
}
