package container

import (
	"slices"
	"testing"
)

// FuzzContainer: no bytes break it, nothing is left running, and the pieces make no
// difference. What is read is bounded by what came.
func FuzzContainer(f *testing.F) {
	list := names(20)
	all := []entry{{name: "a", data: list}, {name: "b", data: list, stored: true}, {name: "c", data: "x", flags: flagEncrypted}, {name: "d", data: "y", method: 97}}
	for _, descriptor := range []string{"", "signed", "unsigned", "signed64", "unsigned64"} {
		entries := slices.Clone(all)
		for i := range entries {
			entries[i].descriptor, entries[i].zip64 = descriptor, len(descriptor) > 8
		}
		file := write(entries...)
		f.Add(file, uint16(1))
		f.Add(file[:len(file)*2/3], uint16(7))
		f.Add(write(entry{name: "in", data: string(file), stored: true, descriptor: descriptor}), uint16(100))
		f.Add(append(gzipped(string(file)), gzipped(list)...), uint16(30))
	}
	f.Fuzz(func(t *testing.T, file []byte, cut uint16) {
		if len(file) == 0 {
			return
		}
		whole, cutUp := read(file, len(file)), read(file, int(cut)%5000+1)
		if !same(whole, cutUp) {
			t.Fatalf("%q: %d members in pieces of %d, as a whole %d", file, len(cutUp.members), int(cut)%5000+1, len(whole.members))
		}
		if len(whole.bounds.open) > 0 {
			t.Fatalf("%q: something is open", file)
		}
		if u := whole.bounds.unpacked; u > maxRatio*int64(len(file))+slack+maxLevels*(pieceSize+1) {
			t.Fatalf("%q: %d bytes were unpacked", file, u)
		}
	})
}
