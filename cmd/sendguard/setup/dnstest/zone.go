// Package dnstest is a DNS on loopback for tests.
package dnstest

import (
	"context"
	"net"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// A Zone has the SRV records of names; a name that is nil gets no answer.
type Zone map[string][]dnsmessage.SRVResource

// Serve answers questions to it on loopback, and returns a resolver that asks there.
func (z Zone) Serve(t *testing.T) *net.Resolver {
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

func (z Zone) answer(question []byte) []byte {
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

// SRV is a record: a target with its final dot, and the lowest priority is meant.
func SRV(priority uint16, target string, port uint16) dnsmessage.SRVResource {
	return dnsmessage.SRVResource{Priority: priority, Port: port, Target: dnsmessage.MustNewName(target)}
}
