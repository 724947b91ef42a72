package main

import (
	"io"
	"strings"

	"sendguard/cmd/sendguard/archive"
	"sendguard/policy"
)

// decide is the verdict on a message as the guard would have it; the body comes
// from m. Whom a message was sent to is not known any more, the sender's address
// may be. All that check asks of the policy about a message is asked here.
func decide(p *policy.Policy, header []byte, m *archive.Reader) (policy.Verdict, error) {
	sender := strings.Trim(archive.Field(header, "Return-Path"), "<>")
	b, err := look(p, header, sender, m)
	if err != nil {
		return policy.Verdict{}, err
	}
	v := p.Decide(policy.Message{Header: header, Sender: sender, Body: b.start, BodyCut: b.cut, Organisations: true})
	switch {
	case v.Refused():
	case m.BareCR:
		v = v.RefusedFor(policy.ReasonBareNewline)
	case (v.Action == policy.Bcc || v.Action == policy.Individual) && b.attendees:
		v = v.RefusedFor(policy.ReasonAttendees)
	}
	return v.WithBody(b.shows), nil
}

// A body is what the policy wants to know of one.
type body struct {
	start     []byte // where the policy wants it, its lines ended by CRLF
	cut       bool   // it goes on behind that
	attendees bool   // anywhere in a body that the policy wants
	shows     int    // addresses, where the policy inspects it
}

// look reads a body to its end.
func look(p *policy.Policy, header []byte, sender string, m *archive.Reader) (b body, err error) {
	wanted := p.WantsBody(header, nil) > 0
	var parts policy.AttendeesScanner
	var scanner *policy.BodyScanner
	if p.InspectBody {
		scanner = policy.NewBodyScanner(header, sender, false)
	}
	var line []byte
	for {
		text, err := m.Piece()
		if err == io.EOF {
			break
		}
		if err != nil {
			return body{}, err
		}
		if scanner != nil {
			scanner.Write(text)
		}
		if wanted {
			line = archive.AppendCRLF(line[:0], text)
			kept := min(len(line), policy.MaxBody-len(b.start))
			b.start, b.cut = append(b.start, line[:kept]...), b.cut || kept < len(line)
			b.attendees = b.attendees || parts.Found(line)
		}
	}
	if scanner != nil {
		scanner.Close()
		b.shows = scanner.Count()
	}
	return b, nil
}
