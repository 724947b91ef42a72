package main

import (
	"cmp"
	"fmt"
	"io"
	"net/mail"
	"slices"
	"strings"
	"text/tabwriter"

	"sendguard/cmd/sendguard/archive"
	"sendguard/cmd/sendguard/config"
	"sendguard/policy"
)

var (
	// countSteps are the counts of addresses that a summary tells of.
	countSteps = []int{5, 10, 25, 50, 100}
	// limitSteps are the limits that a summary tries.
	limitSteps = []int{5, 10, 15, 20, 25, 30, 40, 50}
)

// worstShown is how many of the messages that show most are named.
const worstShown = 10

// A summary counts, so that a person can choose a limit.
type summary struct {
	out      io.Writer
	folder   string       // file names are told from there on
	limit    policy.Limit // in force
	internal bool         // there are internal domains
	messages int
	verdicts map[policy.Action]int
	broken   map[policy.Reason]int
	showing  []int // at least countSteps[i] addresses
	stopped  []int // by limitSteps[i]
	worst    []checked
}

func newSummary(out io.Writer, c *config.Config) *summary {
	return &summary{
		out: out, limit: policy.Limit(c.Policy.Limits[policy.External]), internal: len(c.Policy.InternalDomains) > 0,
		verdicts: map[policy.Action]int{}, broken: map[policy.Reason]int{},
		showing: make([]int, len(countSteps)), stopped: make([]int, len(limitSteps)),
	}
}

func (s *summary) add(c checked) {
	e := c.verdict.Exposure
	s.messages++
	s.verdicts[c.verdict.Action]++
	if r := c.verdict.Reason; r == policy.ReasonUnreadableHeader || r == policy.ReasonBareNewline {
		s.broken[r]++
	}
	for i, n := range countSteps {
		if e.Visible >= n {
			s.showing[i]++
		}
	}
	for i, n := range limitSteps {
		if e.External > n {
			s.stopped[i]++
		}
	}
	s.rank(c)
}

// rank keeps the messages that show most, the first of equals before the others.
func (s *summary) rank(c checked) {
	n := c.verdict.Exposure.Visible
	if n == 0 || len(s.worst) == worstShown && n <= s.worst[worstShown-1].verdict.Exposure.Visible {
		return
	}
	s.worst = append(s.worst, c)
	slices.SortStableFunc(s.worst, func(a, b checked) int {
		return cmp.Compare(b.verdict.Exposure.Visible, a.verdict.Exposure.Visible)
	})
	s.worst = s.worst[:min(len(s.worst), worstShown)]
}

func (s *summary) finish(noMail int) {
	if s.messages == 0 {
		return
	}
	fmt.Fprintf(s.out, "%d %s read. Under the policy in force:", s.messages, plural(s.messages, "message"))
	for _, a := range append(slices.Clone(policy.Actions), policy.Override) {
		if n := s.verdicts[a]; n > 0 {
			fmt.Fprintf(s.out, "  %s %d", a, n)
		}
	}
	fmt.Fprintln(s.out)
	if noMail > 0 {
		fmt.Fprintf(s.out, "Left out: %s.\n", filesWithoutMail(noMail))
	}
	s.printBroken()
	s.printCounts()
	s.printWorst()
	s.printLimits()
}

// printBroken tells of refusals that no limit changes.
func (s *summary) printBroken() {
	for _, r := range []policy.Reason{policy.ReasonUnreadableHeader, policy.ReasonBareNewline} {
		if n := s.broken[r]; n > 0 {
			fmt.Fprintf(s.out, "Refused whatever the limits, %s: %d\n", r, n)
		}
	}
}

func (s *summary) printCounts() {
	fmt.Fprint(s.out, "\nHow many addresses the messages show\n")
	t := s.columns(tabwriter.AlignRight)
	fmt.Fprint(t, "at least\tmessages\tof all\t\n")
	for i, n := range countSteps {
		fmt.Fprintf(t, "%d\t%d\t%s\t\n", n, s.showing[i], s.share(s.showing[i]))
	}
	t.Flush()
}

func (s *summary) printWorst() {
	if len(s.worst) == 0 {
		return
	}
	fmt.Fprint(s.out, "\nThe messages that show most\n")
	t := s.columns(0)
	fmt.Fprint(t, "  visible\tdate\tshown in\tfile\n")
	for _, c := range s.worst {
		e := c.verdict.Exposure
		file := strings.TrimPrefix(c.file, s.folder)
		fmt.Fprintf(t, "  %7d\t%s\t%s\t%s\n", e.Visible, dateOf(c.header), shownIn(e), printable(file))
	}
	t.Flush()
}

func (s *summary) printLimits() {
	fmt.Fprint(s.out, "\nWhat each limit on outside addresses (limits.external) would have stopped\n")
	t := s.columns(tabwriter.AlignRight)
	fmt.Fprint(t, "limit\tmessages\tof all\t\n")
	for i, n := range limitSteps {
		force := ""
		if s.limit == policy.Limit(n) {
			force = "  (in force)"
		}
		fmt.Fprintf(t, "%d\t%d\t%s\t%s\n", n, s.stopped[i], s.share(s.stopped[i]), force)
	}
	t.Flush()
	if !s.internal {
		fmt.Fprint(s.out, "All addresses are outside ones, since policy.internal_domains is empty.\n")
	}
}

func filesWithoutMail(n int) string {
	return fmt.Sprintf("%d %s without mail", n, plural(n, "file"))
}

func (s *summary) columns(flags uint) *tabwriter.Writer {
	return tabwriter.NewWriter(s.out, 0, 8, 2, ' ', flags)
}

func (s *summary) share(n int) string {
	return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(s.messages))
}

// dateOf is the day that the Date field tells, and nothing else that it may
// hold.
func dateOf(header []byte) string {
	date, err := mail.ParseDate(archive.Field(header, "Date"))
	if err != nil {
		return "-"
	}
	return date.Format("2006-01-02")
}
