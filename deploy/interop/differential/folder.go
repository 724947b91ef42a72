package main

import (
	"fmt"
	"io/fs"
	"log"
	"path/filepath"
	"strings"
)

// compareFolder prints, for each message of a folder that the versions differ about,
// what both say and the classes, and at the end the totals.
func compareFolder(p *pair, dir string) {
	files, refusedBefore, refusedNow := 0, 0, 0
	counts := map[string]int{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.Contains(path, "/eml/") && filepath.Ext(path) != ".eml" {
			return err
		}
		m, err := readMessage(path)
		if err != nil {
			return err
		}
		files++
		now, before := p.now(m), p.before(m)
		if before.Action == "reject" {
			refusedBefore++
		}
		if now.Action == "reject" {
			refusedNow++
		}
		if now == before {
			return nil
		}
		class := strings.Join(explain(p, m), " + ")
		counts[class]++
		name, _ := filepath.Rel(dir, path)
		fmt.Printf("%s\t%d\t%d\t%d\t%d\t%s %s\t%s %s\t%s\n", name, before.Visible, now.Visible, before.Body, now.Body, before.Action, before.Reason, now.Action, now.Reason, class)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d messages; refused before %d, now %d\n", files, refusedBefore, refusedNow)
	report(counts)
}
