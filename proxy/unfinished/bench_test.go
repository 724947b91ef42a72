package unfinished

import (
	"fmt"
	"path/filepath"
	"testing"
)

// BenchmarkCopies is a whole send to many, each of whom gets a copy: how many
// copies are noted in a second, where nothing else takes time.
func BenchmarkCopies(b *testing.B) {
	for _, n := range []int{20, 1000} {
		all := numbered(n)
		for what, open := range map[string]func(testing.TB) string{
			"memory": func(testing.TB) string { return "memory" },
			"bolt":   func(b testing.TB) string { return "bolt:" + filepath.Join(b.TempDir(), "sends") },
			"redis":  func(b testing.TB) string { return startRedis(b).state(nil) },
		} {
			b.Run(fmt.Sprintf("%s-%d", what, n), func(b *testing.B) {
				sends, err := Open(b.Context(), open(b))
				if err != nil {
					b.Fatal(err)
				}
				defer sends.Close()
				copies := 0
				for b.Loop() {
					s := begin(b, sends, news, all...)
					accept(b, s, all...)
					finish(b, s)
					copies += n
				}
				b.ReportMetric(float64(copies)/b.Elapsed().Seconds(), "copies/s")
			})
		}
	}
}
