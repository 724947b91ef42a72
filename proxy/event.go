package proxy

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"sendguard/proxy/upstream"
	"sendguard/proxy/wire"
)

// An event is what one command of a client came to, where somebody may ask about
// it later. Its reference stands at the end of the reply and in the log, so that
// who has the one finds the other.
type event struct {
	ref    string // "": nobody needed one yet
	logged bool   // a line has it, or will
}

// refAlphabet leaves out what is taken for another letter or digit.
const refAlphabet = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"

// newRef draws a reference: six letters and digits that nobody can guess.
func newRef() string {
	ref := make([]byte, 6)
	rand.Read(ref) // never fails
	for i, b := range ref {
		ref[i] = refAlphabet[int(b)%len(refAlphabet)]
	}
	return string(ref)
}

func (s *session) reference() string {
	if s.event.ref == "" {
		s.event.ref = newRef()
	}
	return s.event.ref
}

// refer has a reply of our own end with the reference of its event, and sees to
// a line in the log: each that is to be tried again, a login that failed, and all
// refusals from MAIL on. A syntax error before that is only counted.
func (s *session) refer(r reply) reply {
	if !r.own || r.Code < 400 || r.Code >= 500 && r.Code != codeLoginFailed && !s.mailBegun {
		return r
	}
	code, _ := r.Enhanced()
	if !s.event.logged {
		s.logEvent(slog.LevelInfo, "refused", "reply", code)
	}
	r.Raw = fmt.Appendf(nil, "%s (ref %s)\r\n", bytes.TrimSuffix(r.Raw, wire.CRLF), s.reference())
	r.own = false
	return r
}

// codeLoginFailed is the reply to a wrong password (RFC 4954 section 6).
const codeLoginFailed = 535

// referAnew is refer for the end of a connection, or for a command that is
// answered before anybody else sees it: an event of its own.
func (s *session) referAnew(r reply, f fault) []byte {
	s.event = event{}
	if f != "" {
		s.fault(f)
	}
	return s.refer(r).Raw
}

// refuseRecipient is for those beyond the limit. All of a transaction are one event:
// a client may name as many as it likes.
func (s *session) refuseRecipient() error {
	s.event = s.overflow
	err := s.answer(ownReply(replyTooManyRcpts))
	s.overflow = s.event
	return err
}

// logEvent logs a line with the reference of the event. What comes before any
// MAIL, or before a login that must be, may come often, and from whoever: of
// identical lines there is one a second then, and their number. Failed logins are told one by one, for those who ban
// whoever has too many of them.
func (s *session) logEvent(level slog.Level, what string, attrs ...any) {
	s.event.logged = true
	if s.mailBegun && !s.mustLogIn() || what == faultWords[faultClientLogin] {
		s.journal.Log(s.server.ctx, level, what, append(attrs, "ref", s.reference())...)
		return
	}
	key := fmt.Sprint(s.route.config.Name, s.shownClient, what, attrs)
	ref, first := s.server.repeats.note(key, s.reference(), func(ref string, times int) {
		s.server.log.Log(s.server.ctx, level, what, append([]any{"route", s.route.config.Name, "times", times, "ref", ref}, attrs...)...)
	})
	s.event.ref = ref
	if first {
		s.journal.Log(s.server.ctx, level, what, append(attrs, "ref", ref)...)
	}
}

func (s *session) fault(f fault) { s.faultDetail(f, "") }

// faultDetail counts and logs a fault; the detail names no address of mail.
func (s *session) faultDetail(f fault, detail string) {
	s.server.metrics.fault(s.route.config.Name, f)
	attrs := []any{"fault", string(f)}
	if detail != "" {
		attrs = append(attrs, "detail", detail)
	}
	s.logEvent(slog.LevelWarn, faultWords[f], attrs...)
}

// logAdvice logs what to do about a refusal that has a remedy. The reply itself is
// the client's: it may name a mailbox.
func (s *session) logAdvice(r upstream.Reply) {
	if text := upstream.Advise(r); text != "" {
		s.server.log.Warn("the server refused", "route", s.route.config.Name, "code", r.Code, "advice", text)
	}
}

// trace logs a step of the conversation, for log.level debug: verbs, codes and
// sizes.
func (s *session) trace(who string, attrs ...any) {
	if s.traced {
		s.journal.Debug(who, attrs...)
	}
}

// repeats are lines that were logged within the last second.
type repeats struct {
	mu   sync.Mutex
	seen map[string]*repeat
}

// A repeat is a line, and how often it would have been logged again.
type repeat struct {
	ref   string
	times int
	timer *time.Timer
	later func(ref string, times int)
}

const repeatTime = time.Second

// note reports whether a line is the first of its kind in a second, and the
// reference that it has: that of the first one. later is called at the end of the
// second where there were more, with their number.
func (r *repeats) note(line, ref string, later func(ref string, times int)) (reference string, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if seen := r.seen[line]; seen != nil {
		seen.times++
		return seen.ref, false
	}
	if r.seen == nil {
		r.seen = map[string]*repeat{}
	}
	r.seen[line] = &repeat{ref: ref, later: later, timer: time.AfterFunc(repeatTime, func() { r.end(line) })}
	return ref, true
}

// end forgets a line, and tells how often it came again.
func (r *repeats) end(line string) {
	r.mu.Lock()
	seen := r.seen[line]
	delete(r.seen, line)
	r.mu.Unlock()
	if seen != nil && seen.times > 0 {
		seen.later(seen.ref, seen.times)
	}
}

// close ends all lines at once.
func (r *repeats) close() {
	r.mu.Lock()
	var lines []string
	for line, seen := range r.seen {
		seen.timer.Stop()
		lines = append(lines, line)
	}
	r.mu.Unlock()
	for _, line := range lines {
		r.end(line)
	}
}
