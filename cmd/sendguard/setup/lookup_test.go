package setup

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// A zone has the SRV records of names; a name that is nil gets no answer.
type zone map[string][]dnsmessage.SRVResource

// serve answers questions to it on loopback, and returns a resolver that asks there.
func (z zone) serve(t *testing.T) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-done })
	go func() {
		defer close(done)
		b := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			if reply := z.answer(b[:n]); reply != nil {
				conn.WriteTo(reply, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (z zone) answer(question []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(question) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	records, known := z[strings.TrimSuffix(q.Name.String(), ".")]
	m.Response, m.Additionals = true, nil
	switch {
	case known && records == nil:
		return nil
	case !known:
		m.RCode = dnsmessage.RCodeNameError
	}
	for _, r := range records {
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}, Body: &r})
	}
	reply, _ := m.Pack()
	return reply
}

func srv(priority uint16, target string, port uint16) dnsmessage.SRVResource {
	return dnsmessage.SRVResource{Priority: priority, Port: port, Target: dnsmessage.MustNewName(target)}
}

func TestTheDNSTellsTheServerOfADomain(t *testing.T) {
	for _, tc := range []struct {
		name string
		zone zone
		want Service
		err  string
	}{
		{"TLS from the start comes first", zone{
			"_submissions._tcp.firm.example": {srv(0, "tls.firm.example.", 465)}, "_submission._tcp.firm.example": {srv(0, "start.firm.example.", 587)},
		}, Service{"tls.firm.example:465", "implicit"}, ""},
		{"the lowest priority is meant", zone{"_submission._tcp.firm.example": {srv(20, "b.firm.example.", 587), srv(10, "a.firm.example.", 2587)}}, Service{"a.firm.example:2587", "starttls"}, ""},
		{"a dot says that there is none", zone{"_submissions._tcp.firm.example": {srv(0, ".", 0)}, "_submission._tcp.firm.example": {srv(0, "m.firm.example.", 587)}}, Service{"m.firm.example:587", "starttls"}, ""},
		{"no records", zone{}, Service{}, "it has no record for submission"},
		{"only dots", zone{"_submission._tcp.firm.example": {srv(0, ".", 0)}}, Service{}, "it has no record for submission"},
	} {
		got, err := Lookup(t.Context(), tc.zone.serve(t), "firm.example")
		if got != tc.want || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: %v, %v", tc.name, got, err)
		}
	}
}

func TestASilentDNSIsNotWaitedForForLong(t *testing.T) {
	silent := zone{"_submissions._tcp.firm.example": nil, "_submission._tcp.firm.example": nil}
	begun := time.Now()
	_, err := Lookup(t.Context(), silent.serve(t), "firm.example")
	if err == nil || !strings.Contains(err.Error(), "no answer within 5s") || time.Since(begun) > 2*lookupTime {
		t.Errorf("%v after %v", err, time.Since(begun))
	}
	unreachable := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed }}
	if _, err := Lookup(t.Context(), unreachable, "firm.example"); err == nil || !strings.Contains(err.Error(), "cannot be asked") {
		t.Errorf("%v", err)
	}
}
