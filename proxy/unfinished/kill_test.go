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
		noted = append(noted, killed(t, path, 1+rand.IntN(40), func() {})...)
		sends, err := Open(t.Context(), "bolt:"+path)
		if err != nil {
			t.Fatal(err)
		}
		hasWhatWasNoted(t, sends, noted, round+1)
		if err := sends.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// hasWhatWasNoted checks that those have a copy, and no others, but one for each
// kill, which was noted when nobody was told of it yet.
func hasWhatWasNoted(t *testing.T, sends *Sends, noted []string, kills int) {
	t.Helper()
	s := begin(t, sends, news, numbered(4000)...)
	defer leave(t, s)
	has := 0
	for _, r := range numbered(4000) {
		if s.Has(r) {
			has++
		} else if slices.Contains(noted, r) {
			t.Errorf("after %d kills: %s of %d was noted and is gone", kills, r, len(noted))
		}
	}
	if has > len(noted)+kills {
		t.Errorf("after %d kills: %d have a copy, and %d were noted: an intent is taken for one", kills, has, len(noted))
	}
}

// killed has a child note recipients, calls begun when it has told of the first,
// kills it when it has told of n, at whatever it does then, and returns all that it
// has told of.
func killed(t *testing.T, path string, n int, begun func()) (noted []string) {
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
		if noted = append(noted, lines.Text()); len(noted) == 1 {
			begun()
		}
		if len(noted) == n {
			cmd.Process.Kill()
		}
	}
	cmd.Wait()
	if len(noted) < n {
		t.Fatalf("the child noted %d, not %d", len(noted), n)
	}
	return noted
}
