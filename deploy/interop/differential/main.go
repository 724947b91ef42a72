// Command differential compares what this version counts with what an earlier one
// counted. It makes messages by mutation, has both read them, and puts each
// difference into the classes of what was changed on purpose (see explain.go): by
// undoing the cause, in the message, until the versions agree. A difference for
// which that cannot be had is a defect of one of the versions, or of this program; it
// is printed, and the exit status is 1.
package main

import (
	"flag"
	"fmt"
	"log"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

func main() {
	log.SetFlags(0)
	n := flag.Int("n", 100_000, "how many messages to make")
	seed := flag.Uint64("seed", 1, "the same seed makes the same messages, from the same folders")
	what := flag.String("what", "headers", "values (of one field, To), headers or bodies")
	show := flag.Int("show", 20, "how many differences without a class are printed")
	example := flag.String("example", "", "a class of which such as many differences are printed, too")
	folder := flag.String("folder", "", "in place of the fuzz: the messages in this folder whose verdict has changed, with their classes")
	limit := flag.Int("limit", 1, "limits.external")
	inBody := flag.Int("body", 0, "limits.body; 0: bodies are not inspected")
	flag.Parse()
	debug.SetGCPercent(1000)
	if *what == "bodies" && *inBody == 0 {
		*inBody = 1
	}
	p, err := newPair(*limit, *inBody)
	if err != nil {
		log.Fatal(err)
	}
	if *folder != "" {
		compareFolder(p, *folder)
		return
	}
	p.values = *what == "values"
	seeds, err := readSeeds(*what)
	if err != nil {
		log.Fatal(err)
	}
	f := fuzz{pair: p, mutator: newMutator(*seed, *what, p, seeds), show: *show, example: *example, counts: map[string]int{}}
	started := time.Now()
	for i := range *n {
		p.bcc = i%4 == 0
		f.one()
	}
	fmt.Printf("%s: %d messages from %d seeds, -seed %d, in %s; %d differ\n", *what, *n, len(seeds), *seed, time.Since(started).Round(time.Second), f.differ)
	report(f.counts)
	if f.counts[unclassified] > 0 {
		os.Exit(1)
	}
}

// A fuzz counts the differences by their classes.
type fuzz struct {
	*pair
	*mutator
	show, differ int
	example      string
	counts       map[string]int
}

const unclassified = "none"

func (f *fuzz) one() {
	m := f.next()
	if f.pair.agree(m) {
		return
	}
	f.differ++
	names := explain(f.pair, m)
	name := strings.Join(names, " + ")
	if len(names) == 0 {
		name = unclassified
	}
	f.counts[name]++
	if (len(names) == 0 || name == f.example) && f.show > 0 {
		f.show--
		f.print(name, f.shrunk(m, names))
	}
}

// print prints what the versions say of a message, and what is left of it without all
// causes.
func (f *fuzz) print(name string, m message) {
	fmt.Printf("%s\nnow    %+v\nbefore %+v\n%q\n%q\n", name, f.now(m), f.before(m), m.header, m.body)
	m = mended(f.pair, unwrapped(f.pair, m), slices.Concat(headerClasses, bodyClasses))
	fmt.Printf("without all causes:\n%q\n%q\n\n", m.header, m.body)
}

// report prints how many differences each class has, and each set of classes.
func report(counts map[string]int) {
	names := slices.Collect(maps.Keys(counts))
	slices.SortFunc(names, func(a, b string) int { return counts[b] - counts[a] })
	for _, name := range names {
		fmt.Printf("%9d  %s\n", counts[name], name)
	}
}
