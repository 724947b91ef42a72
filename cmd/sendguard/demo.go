package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"sendguard/cmd/sendguard/config"
	"sendguard/cmd/sendguard/maildrop"
	"sendguard/policy"
	"sendguard/proxy"
	"sendguard/proxy/unfinished"
	"sendguard/proxy/upstream"
)

func demoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See the guard at work: no server, network or configuration needed",
		Long: `Runs the guard before a built-in mail server that keeps what it gets in a
Maildir, sends four messages through it, and shows what became of each.`,
		Args: cobra.NoArgs,
	}
	listen := cmd.Flags().String("listen", "", "then keep running on this address, for a mail client of yours (127.0.0.1:1587)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *listen != "" {
			host, _, err := net.SplitHostPort(*listen)
			if err != nil || !config.IsLoopback(host) {
				return fmt.Errorf("--listen %s: want host:port with a loopback address, 127.0.0.1:1587 for example", *listen)
			}
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		return demo(ctx, cmd.OutOrStdout(), *listen)
	}
	return cmd
}

// A stage is where the demo plays: a guard before a maildrop.
type stage struct {
	out     io.Writer
	dir     string
	drop    *maildrop.Server
	viewer  *policy.Policy // counts what a message shows, Bcc included
	metrics *proxy.Metrics
	guard   *proxy.Server
	sends   *unfinished.Sends
	log     slog.LevelVar // off while the story is told
}

// demo tells the story; with listen it keeps the guard running until ctx ends.
func demo(ctx context.Context, out io.Writer, listen string) error {
	s, err := newStage(out, listen)
	if err != nil {
		return faultError{err}
	}
	defer s.close()
	fmt.Fprintf(out, "A guard with the default policy stands before a mail server that keeps\nwhat it gets in the Maildir %s\n", s.dir)
	for i, e := range episodes() {
		if err := s.play(i+1, e); err != nil {
			return faultError{err}
		}
	}
	if err := s.showMetrics(); err != nil {
		return faultError{err}
	}
	if listen == "" {
		fmt.Fprint(out, "\nTo try it with your own mail client: sendguard demo --listen 127.0.0.1:1587\n")
		return nil
	}
	addr := s.guard.Addr(0).(*net.TCPAddr)
	fmt.Fprintf(out, "\nNow it is your turn. Set the outgoing server (SMTP) of a mail client to\n"+
		"  server %s, port %d, connection security: none, authentication: none\n"+
		"and send something to many people; nothing leaves this machine. What the guard\nlogs of each message follows. Stop it with Ctrl-C.\n\n", addr.IP, addr.Port)
	s.log.Set(slog.LevelInfo)
	<-ctx.Done()
	return s.showMetrics()
}

func newStage(out io.Writer, listen string) (*stage, error) {
	tmp, err := os.MkdirTemp("", "sendguard-demo-")
	if err != nil {
		return nil, err
	}
	s := &stage{out: out, dir: filepath.Join(tmp, "Maildir")}
	if s.drop, err = maildrop.New(s.dir); err != nil {
		return nil, err
	}
	c := config.Default()
	guarding, err := policy.New(c.PolicySettings())
	if err != nil {
		return nil, errors.Join(err, s.drop.Close())
	}
	seeing := c.PolicySettings()
	seeing.Action, seeing.StripBcc = policy.Allow, false
	if s.viewer, err = policy.New(seeing); err != nil {
		return nil, errors.Join(err, s.drop.Close())
	}
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	s.log.Set(slog.LevelError + 1)
	log := slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: &s.log}))
	s.metrics = proxy.NewMetrics([]string{"demo"}, guarding.RuleNames(), build())
	if s.sends, err = unfinished.Open(context.Background(), string(c.Policy.Individual.State)); err != nil {
		return nil, errors.Join(err, s.drop.Close())
	}
	s.guard = proxy.NewServer([]proxy.Route{{Name: "demo", Listen: listen, Upstream: upstream.Server{Address: s.drop.Addr(), TLS: upstream.TLSNone}}},
		c.ProxyLimits(), guarding, s.sends, s.metrics, log)
	if err := s.guard.Start(); err != nil {
		return nil, errors.Join(err, s.drop.Close())
	}
	return s, nil
}

// demoShutdown bounds how long the demo waits for messages under way.
const demoShutdown = 5 * time.Second

func (s *stage) close() {
	ctx, cancel := context.WithTimeout(context.Background(), demoShutdown)
	defer cancel()
	s.guard.Shutdown(ctx)
	s.sends.Close()
	s.drop.Close()
}

// An episode is one message that somebody sends.
type episode struct {
	title   string
	to      []string // the envelope
	message string
}

const seeker = "Joe Seeker <joe@seeker.example>"

// episodes tell of a job seeker with 43 contacts.
func episodes() []episode {
	var contacts []string
	for i := range 43 {
		contacts = append(contacts, fmt.Sprintf("executive%02d@company%02d.example", i+1, i+1))
	}
	exposed := "To: " + fold(contacts[:40]) + "\nCc: " + fold(contacts[40:]) + "\n"
	mail := func(subject, addressees string) string {
		return "From: " + seeker + "\n" + addressees + "Subject: " + subject + "\n" +
			"Date: " + time.Now().Format(time.RFC1123Z) + "\n\nI am looking for a new position. Do you know of one?\n"
	}
	return []episode{
		{"An ordinary mail", contacts[:1], mail("Lunch?", "To: "+contacts[0]+"\n")},
		{"A mail to 43 people, all of them in To and Cc", contacts, mail("Looking for a job", exposed)},
		{"The same, and its sender insists", contacts, mail("[show 43] Looking for a job", exposed)},
		{"The same list in Bcc, as it was meant", contacts, mail("Looking for a job", "To: "+seeker+"\nBcc: "+fold(contacts)+"\n")},
	}
}

// fold writes an address list as mail clients do.
func fold(addresses []string) string { return strings.Join(addresses, ",\n\t") }

// play sends the message of an episode and says what became of it.
func (s *stage) play(n int, e episode) error {
	before, err := s.drop.Messages()
	if err != nil {
		return err
	}
	reply, err := maildrop.Send(s.guard.Addr(0).String(), "joe@seeker.example", e.to, e.message)
	if err != nil {
		return err
	}
	after, err := s.drop.Messages()
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "\n%d. %s\n", n, e.title)
	s.say("its header showed", s.shown(e.message))
	s.say("the sender reads", reply)
	if len(after) == len(before) {
		s.say("delivered", "nothing; nobody saw anything")
		return nil
	}
	got := after[len(after)-1]
	s.say("delivered", fmt.Sprintf("to %d %s", len(e.to), plural(len(e.to), "recipient")))
	s.say("each recipient sees", s.shown(got)+", Subject: "+subjectOf(got))
	return nil
}

func (s *stage) say(what, is string) { fmt.Fprintf(s.out, "   %-20s %s\n", what+":", is) }

// shown says whose addresses a message shows, in which fields.
func (s *stage) shown(message string) string {
	header, _, _ := strings.Cut(message, "\n\n")
	header = strings.ReplaceAll(header, "\n", "\r\n")
	j := s.viewer.NewJudge(policy.Envelope{Sender: "joe@seeker.example"})
	j.Header([]byte(header))
	e := j.End().Exposure
	var in []string
	for _, f := range e.Fields {
		in = append(in, fmt.Sprintf("%d in %s", f.Count, f.Field))
	}
	if len(in) == 0 {
		return "nobody's address but the sender's"
	}
	return fmt.Sprintf("%d %s (%s)", e.Visible, plural(e.Visible, "address"), strings.Join(in, ", "))
}

func subjectOf(message string) string {
	_, rest, _ := strings.Cut(message, "\nSubject:")
	subject, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(subject)
}

// showMetrics prints what was counted.
func (s *stage) showMetrics() error {
	lines, err := s.metrics.Counted()
	fmt.Fprintf(s.out, "\nMetrics that changed:\n   %s\n", strings.Join(lines, "\n   "))
	return err
}
