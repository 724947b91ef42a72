package main

import (
	"context"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/eventlog"

	"sendguard/cmd/sendguard/supervisor"
)

// runProcess carries out the command line, as a service where Windows started the
// process as one.
func runProcess() (status int) {
	if is, err := svc.IsWindowsService(); err != nil || !is {
		return run(context.Background(), os.Args[1:], os.Stdout, os.Stderr)
	}
	if err := svc.Run(supervisor.Name, windowsService{}); err != nil {
		return exitFault
	}
	return exitOK
}

// A windowsService answers what Windows asks of a service.
type windowsService struct{}

// Execute runs the command line until Windows wants it to end. Windows counts it
// as running from the start: whether it listens is in the log and at /readyz.
func (windowsService) Execute(_ []string, requests <-chan svc.ChangeRequest, changes chan<- svc.Status) (specific bool, status uint32) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, os.Args[1:], io.Discard, newEventWriter()) }()
	changes <- svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
	for {
		select {
		case status := <-ended:
			return status != 0, uint32(status)
		case r := <-requests:
			switch r.Cmd {
			case svc.Interrogate:
				changes <- r.CurrentStatus
			case svc.Stop, svc.Shutdown:
				changes <- svc.Status{State: svc.StopPending}
				stop()
			}
		}
	}
}

// An eventWriter writes lines of the log to that of Windows.
type eventWriter struct{ log *eventlog.Log }

func newEventWriter() io.Writer {
	log, err := eventlog.Open(supervisor.Name)
	if err != nil {
		return io.Discard // there is nobody to tell
	}
	return eventWriter{log}
}

func (w eventWriter) Write(line []byte) (int, error) {
	return len(line), w.log.Info(1, strings.TrimSuffix(string(line), "\n"))
}
