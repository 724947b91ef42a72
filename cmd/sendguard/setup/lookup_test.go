package setup

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"sendguard/cmd/sendguard/setup/dnstest"
)

func TestTheDNSTellsTheServerOfADomain(t *testing.T) {
	for _, tc := range []struct {
		name string
		zone dnstest.Zone
		want Service
		err  string
	}{
		{"TLS from the start comes first", dnstest.Zone{
			"_submissions._tcp.firm.example": {dnstest.SRV(0, "tls.firm.example.", 465)}, "_submission._tcp.firm.example": {dnstest.SRV(0, "start.firm.example.", 587)},
		}, Service{"tls.firm.example:465", "implicit"}, ""},
		{"the lowest priority is meant", dnstest.Zone{"_submission._tcp.firm.example": {dnstest.SRV(20, "b.firm.example.", 587), dnstest.SRV(10, "a.firm.example.", 2587)}}, Service{"a.firm.example:2587", "starttls"}, ""},
		{"a dot says that there is none", dnstest.Zone{"_submissions._tcp.firm.example": {dnstest.SRV(0, ".", 0)}, "_submission._tcp.firm.example": {dnstest.SRV(0, "m.firm.example.", 587)}}, Service{"m.firm.example:587", "starttls"}, ""},
		{"no records", dnstest.Zone{}, Service{}, "it has no record for submission"},
		{"only dots", dnstest.Zone{"_submission._tcp.firm.example": {dnstest.SRV(0, ".", 0)}}, Service{}, "it has no record for submission"},
	} {
		got, err := Lookup(t.Context(), tc.zone.Serve(t), "firm.example")
		if got != tc.want || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: %v, %v", tc.name, got, err)
		}
	}
}

func TestASilentDNSIsNotWaitedForForLong(t *testing.T) {
	silent := dnstest.Zone{"_submissions._tcp.firm.example": nil, "_submission._tcp.firm.example": nil}
	begun := time.Now()
	_, err := Lookup(t.Context(), silent.Serve(t), "firm.example")
	if err == nil || !strings.Contains(err.Error(), "no answer within 5s") || time.Since(begun) > 2*lookupTime {
		t.Errorf("%v after %v", err, time.Since(begun))
	}
	unreachable := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed }}
	if _, err := Lookup(t.Context(), unreachable, "firm.example"); err == nil || !strings.Contains(err.Error(), "cannot be asked") {
		t.Errorf("%v", err)
	}
}
