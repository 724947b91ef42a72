package main

import (
	"io"
	"strings"

	"sendguard/cmd/sendguard/archive"
	"sendguard/policy"
)

// decide is the verdict on a message as the guard would have it; the body comes
// from m. Whom a message was sent to is not known any more, the sender's address
// may be.
func decide(p *policy.Policy, header []byte, m *archive.Reader) (policy.Verdict, error) {
	j := p.NewJudge(policy.Envelope{Sender: strings.Trim(archive.Field(header, "Return-Path"), "<>"), Measure: true})
	defer j.Close()
	next := j.Header(header)
	var line []byte
	for {
		text, err := m.Piece()
		switch {
		case err == io.EOF:
			return j.End(), nil
		case err != nil:
			return policy.Verdict{}, err
		}
		if m.BareCR {
			next = j.Bare()
		}
		if next != policy.Pass {
			line = archive.AppendCRLF(line[:0], text)
			next = j.Body(line)
		}
	}
}
