package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
)

// Probe connects to an upstream as a session would, greets it, logs in where that
// is sendguard's to do, and says how the connection is secured and what the
// upstream offers. The error says what went wrong, with the upstream's own words
// where it refused.
func Probe(ctx context.Context, u Server, wait Timeouts) (string, error) {
	wait.Reply = min(wait.Reply, wait.Connect) // somebody waits for it
	d := NewDialer(u, wait, func(net.Addr) bool { return false }, func(string, int) {})
	up, err := d.Dial(ctx, Greeting{Name: "localhost"}, func(net.Conn) {})
	if r := (*Refusal)(nil); errors.As(err, &r) {
		return "", fmt.Errorf("%s", strings.ReplaceAll(strings.TrimSpace(string(r.Raw)), "\r\n", " / "))
	}
	if d := (*DialError)(nil); errors.As(err, &d) && d.said != "" {
		return "", fmt.Errorf("%w; it said: %s", err, d.said)
	}
	if err != nil {
		return "", err
	}
	defer up.Quit()
	secured := "no TLS"
	if conn, ok := up.conn.(*tls.Conn); ok {
		secured = tls.VersionName(conn.ConnectionState().Version)
	}
	var offers []string
	for keyword, parameters := range up.caps {
		offers = append(offers, strings.TrimSpace(keyword+" "+parameters))
	}
	slices.Sort(offers)
	if u.Login != nil {
		secured += "; logged in"
	}
	return secured + "; offers " + strings.Join(offers, ", "), nil
}
