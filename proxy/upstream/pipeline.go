package upstream

import "time"

// A Command is a command line, CRLF included, with its name for the metrics.
type Command struct {
	Name string
	Line []byte
}

// Fly sends commands, the last of them DATA, together where the upstream takes
// them so (RFC 2920), and reads the replies to all, within one time-out. It returns
// the first refusal, or 354. An error means that the replies may be out of step:
// the connection must not be used any more.
func (u *Conn) Fly(commands []Command, pipelining bool, timeout time.Duration) (Reply, error) {
	if u.unasked() != nil { // see Command
		return Reply{}, u.leaveTaken(timeout, commands[0].Name)
	}
	u.stage = begun // or as good as that: what was refused of it may be in the way of the next one
	u.transactions++
	end := time.Now().Add(timeout)
	r, err := u.flight(commands, pipelining, end)
	if err == nil && r.Code == 354 {
		u.stage = sending
	}
	return r, err
}

// flight is fly until a time.
func (u *Conn) flight(commands []Command, pipelining bool, end time.Time) (Reply, error) {
	if !pipelining {
		return u.walk(commands, end)
	}
	var all []byte
	for _, c := range commands {
		all = append(all, c.Line...)
	}
	if err := u.write(all); err != nil {
		return Reply{}, u.lastWord(commands[0].Name, err)
	}
	var first Reply // refusal, or 354
	nobody := false // the recipient was refused
	for _, c := range commands {
		r, err := u.answer(c.Name, end)
		switch {
		case err != nil, r.Code == 421:
			return r, err
		case r.Code == 354 && nobody:
			return first, u.sendNothing(end)
		case r.Code == 354 && first.Code != 0: // it would take a message that it should not
			return Reply{}, ErrProtocol
		case first.Code == 0 && (r.Code >= 400 || r.Code == 354):
			first = r
		}
		nobody = nobody || c.Name == "rcpt" && r.Code >= 400
	}
	return first, u.InStep()
}

// walk sends the commands one by one and stops at the first refusal.
func (u *Conn) walk(commands []Command, end time.Time) (r Reply, err error) {
	for _, c := range commands {
		if err := u.write(c.Line); err != nil {
			return Reply{}, u.lastWord(c.Name, err)
		}
		if r, err = u.answer(c.Name, end); err != nil || r.Code >= 400 {
			return r, err
		}
	}
	return r, u.InStep()
}

// answer reads the reply to a command. Only DATA is asked for more.
func (u *Conn) answer(name string, end time.Time) (Reply, error) {
	r, err := u.readReply(time.Until(end))
	if err != nil {
		return Reply{}, err
	}
	expected := r.OK()
	if name == "data" {
		expected = r.Code == 354
	}
	if !expected && r.Code < 400 {
		return Reply{}, ErrProtocol
	}
	u.replied(name, r.Code)
	return r, nil
}

// sendNothing ends the message of a transaction without recipients: the
// upstream took DATA all the same, and is sent a final dot for it to refuse
// (RFC 2920 section 3.1).
func (u *Conn) sendNothing(end time.Time) error {
	if err := u.write([]byte(".\r\n")); err != nil {
		return err
	}
	r, err := u.readReply(time.Until(end))
	if err == nil && r.Code < 400 {
		err = ErrProtocol
	}
	return err
}

// InStep makes sure that the upstream has said no more than it was asked. Where
// it has taken leave right behind its reply, that is the error.
func (u *Conn) InStep() error {
	if u.r.Buffered() == 0 {
		return nil
	}
	return u.leaveTaken(LastWordTime, "data")
}

// Pipelines reports whether the upstream takes commands in one flight.
func (u *Conn) Pipelines() bool {
	_, ok := u.caps["PIPELINING"]
	return ok
}
