package proxy

import "time"

// A command is a command line, CRLF included, with its name for the metrics.
type command struct {
	name string
	line []byte
}

// fly sends commands, the last of them DATA, together where the upstream takes
// them so (RFC 2920), and reads the replies to all, within one time-out. It returns
// the first refusal, or 354. An error means that the replies may be out of step:
// the connection must not be used any more.
func (u *upstream) fly(commands []command, pipelining bool, timeout time.Duration) (serverReply, error) {
	if u.unasked() != nil { // see command
		return serverReply{}, u.leaveTaken(timeout, commands[0].name)
	}
	u.stage = begun // or as good as that: what was refused of it may be in the way of the next one
	u.transactions++
	end := time.Now().Add(timeout)
	r, err := u.flight(commands, pipelining, end)
	if err == nil && r.code == 354 {
		u.stage = sending
	}
	return r, err
}

// flight is fly until a time.
func (u *upstream) flight(commands []command, pipelining bool, end time.Time) (serverReply, error) {
	if !pipelining {
		return u.walk(commands, end)
	}
	var all []byte
	for _, c := range commands {
		all = append(all, c.line...)
	}
	if err := u.write(all); err != nil {
		return serverReply{}, u.lastWord(commands[0].name, err)
	}
	var first serverReply // refusal, or 354
	nobody := false       // the recipient was refused
	for _, c := range commands {
		r, err := u.answer(c.name, end)
		switch {
		case err != nil, r.code == 421:
			return r, err
		case r.code == 354 && nobody:
			return first, u.sendNothing(end)
		case r.code == 354 && first.code != 0: // it would take a message that it should not
			return serverReply{}, errProtocol
		case first.code == 0 && (r.code >= 400 || r.code == 354):
			first = r
		}
		nobody = nobody || c.name == "rcpt" && r.code >= 400
	}
	return first, u.inStep()
}

// walk sends the commands one by one and stops at the first refusal.
func (u *upstream) walk(commands []command, end time.Time) (r serverReply, err error) {
	for _, c := range commands {
		if err := u.write(c.line); err != nil {
			return serverReply{}, u.lastWord(c.name, err)
		}
		if r, err = u.answer(c.name, end); err != nil || r.code >= 400 {
			return r, err
		}
	}
	return r, u.inStep()
}

// answer reads the reply to a command. Only DATA is asked for more.
func (u *upstream) answer(name string, end time.Time) (serverReply, error) {
	r, err := u.readReply(time.Until(end))
	if err != nil {
		return serverReply{}, err
	}
	expected := r.ok()
	if name == "data" {
		expected = r.code == 354
	}
	if !expected && r.code < 400 {
		return serverReply{}, errProtocol
	}
	u.replied(name, r.code)
	return r, nil
}

// sendNothing ends the message of a transaction without recipients: the
// upstream took DATA all the same, and is sent a final dot for it to refuse
// (RFC 2920 section 3.1).
func (u *upstream) sendNothing(end time.Time) error {
	if err := u.write([]byte(".\r\n")); err != nil {
		return err
	}
	r, err := u.readReply(time.Until(end))
	if err == nil && r.code < 400 {
		err = errProtocol
	}
	return err
}

// inStep makes sure that the upstream has said no more than it was asked. Where
// it has taken leave right behind its reply, that is the error.
func (u *upstream) inStep() error {
	if u.r.Buffered() == 0 {
		return nil
	}
	return u.leaveTaken(lastWordTime, "data")
}

// pipelines reports whether the upstream takes commands in one flight.
func (u *upstream) pipelines() bool {
	_, ok := u.caps["PIPELINING"]
	return ok
}
