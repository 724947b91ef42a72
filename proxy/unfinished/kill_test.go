package unfinished

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// jobs are what a child can do with a send, in a file of that path.
var jobs = map[string]func(s *Send, path string) (status int){"accept": acceptUntilKilled}

// child is what a test has another process do: the job, a colon, and a path.
func child(job string) int {
	job, path, _ := strings.Cut(job, ":")
	sends, err := Open(context.Background(), "bolt:"+path)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	s, err := sends.Begin(context.Background(), news, append(numbered(4000), "last@x.example"))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return jobs[job](s, path)
}

// acceptUntilKilled prints each recipient once it is noted.
func acceptUntilKilled(s *Send, _ string) int {
	for _, r := range numbered(4000) {
		if s.Has(r) {
			continue
		}
		if err := s.Accepted(context.Background(), r); err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println(r)
	}
	return 1 // it should have been killed
}

func TestWhatIsNotedSurvivesAKill(t *testing.T) {
	t.Parallel() // with others that wait
	path := filepath.Join(t.TempDir(), "sends")
	var noted []string
	for round := range 10 {
		noted = append(noted, killed(t, path, 1+rand.IntN(40))...)
		sends, err := Open(t.Context(), "bolt:"+path)
		if err != nil {
			t.Fatal(err)
		}
		s := begin(t, sends, news, numbered(4000)...)
		has := 0
		for _, r := range numbered(4000) {
			if s.Has(r) {
				has++
			} else if slices.Contains(noted, r) {
				t.Errorf("round %d: %s of %d was noted and is gone", round, r, len(noted))
			}
		}
		// In each round one was noted at the most of which nobody was told.
		if has > len(noted)+round+1 {
			t.Errorf("round %d: %d have a copy, and %d were noted: an intent is taken for one", round, has, len(noted))
		}
		leave(t, s)
		if err := sends.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killed has a child note recipients, kills it when it has told of n, at
// whatever it does then, and returns all that it has told of.
func killed(t *testing.T, path string, n int) (noted []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "UNFINISHED_CHILD=accept:"+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	giveUp := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer giveUp.Stop()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if !strings.HasSuffix(lines.Text(), "@x.example") {
			t.Errorf("the child says: %s", lines.Text())
			continue
		}
		if noted = append(noted, lines.Text()); len(noted) == n {
			cmd.Process.Kill()
		}
	}
	cmd.Wait()
	if len(noted) < n {
		t.Fatalf("the child noted %d, not %d", len(noted), n)
	}
	return noted
}
