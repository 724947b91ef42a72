package main

import (
	"io"
	"time"

	"github.com/schollz/progressbar/v3"

	"sendguard/cmd/sendguard/archive"
)

// A bar shows on a terminal how far the reading of a large archive is. The zero
// value shows nothing.
type bar struct{ *progressbar.ProgressBar }

// An archive this large takes a while to read.
const (
	longBytes = 16 << 20
	longFiles = 2000
)

func newBar(stderr io.Writer, sources []archive.Source) bar {
	var total int64
	for _, s := range sources {
		total += s.Size
	}
	if !isTerminal(stderr) || total == 0 || total < longBytes && len(sources) < longFiles {
		return bar{}
	}
	return bar{progressbar.NewOptions64(total, progressbar.OptionSetWriter(stderr), progressbar.OptionSetDescription("reading"),
		progressbar.OptionShowBytes(true), progressbar.OptionSetWidth(30), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())}
}

// reader is r, with what is read from it shown. An error of the bar is none of
// r: a file may have grown.
func (b bar) reader(r io.Reader) io.Reader {
	if b.ProgressBar == nil {
		return r
	}
	return barReader{r, b.ProgressBar}
}

type barReader struct {
	r   io.Reader
	bar *progressbar.ProgressBar
}

func (b barReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.bar.Add(n)
	return n, err
}

// clear makes room for a line.
func (b bar) clear() {
	if b.ProgressBar != nil {
		b.Clear()
	}
}

func (b bar) finish() {
	if b.ProgressBar != nil {
		b.Finish()
	}
}
