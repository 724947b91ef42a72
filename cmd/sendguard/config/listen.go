package config

import (
	"cmp"
	"crypto/tls"
	"math"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"sendguard/proxy"
	"sendguard/proxy/upstream"
)

// Values of client_auth. Where the key is missing, what the listener's address
// calls for is filled in.
const (
	clientAuthRequired = "required"
	clientAuthNone     = "none"
)

// A reach is who can get to a listener.
type reach int

const (
	reachFile   reach = iota // who has the rights on its file
	reachHere                // this machine
	reachOthers              // other machines, too
)

// checkListen reports a listener that cannot be, or that would be an open door.
func (r *routeConfig) checkListen(d *decoder, key string) {
	r.TLS.check(d, key+".tls")
	if r.Mode != defaultMode && !strings.HasPrefix(r.Listen, proxy.UnixPrefix) {
		d.problem(key+".mode", "is for listen: unix:/path")
	}
	where, problem := r.reach()
	if problem != "" {
		d.problem(key+".listen", "%s", words(problem))
		return
	}
	switch {
	case where == reachFile && len(r.Allow) > 0:
		d.problem(key+".allow", "a unix socket has no networks; its mode says who may use it")
	case where == reachOthers && len(r.Allow) == 0:
		d.problem(key+".allow", "is needed: other machines can reach %s; name the networks that may use it, [10.0.0.0/8] for example", r.Listen)
	case where != reachFile && r.ProxyProtocol && len(r.Allow) == 0:
		d.problem(key+".proxy_protocol", "needs allow: the addresses of the proxies, whose word is taken for where clients are")
	}
	if r.ClientAuth == clientAuthNone && where != reachFile {
		r.checkAllow(d, key+".allow")
	}
	if where == reachOthers && r.takesLogins() && r.TLS.Cert == "" {
		d.problem(key+".tls", "is needed: other machines can reach %s, and passwords would travel in the clear (sendguard cert makes a certificate)", r.Listen)
	}
	r.checkClientAuth(d, key+".client_auth", where)
}

// checkAllow reports networks that are nearly everybody, where nobody logs in: an
// open relay. Pieces of the whole are as much as the whole.
func (r *routeConfig) checkAllow(d *decoder, key string) {
	wide := false
	for _, n := range r.Allow {
		if p := netip.Prefix(n); p.Bits() < shortest(p) {
			d.problem(key, "%s is nearly everybody, and with client_auth: none nobody logs in: an open door", p)
			wide = true
		}
	}
	if !wide && tooMany(r.Allow) {
		d.problem(key, "these networks together are nearly everybody, and with client_auth: none nobody logs in: an open door")
	}
}

// shortest is the prefix length of the widest network that is not nearly everybody: /8,
// and /16 of IPv6.
func shortest(p netip.Prefix) int { return min(p.Addr().BitLen()/4, 16) }

// tooMany reports whether networks together are twice as much as the widest of
// them may be, in IPv4 or in IPv6. What one has of another counts once, and this
// machine not at all.
func tooMany(networks []network) bool {
	all := make([]netip.Prefix, len(networks))
	for i, n := range networks {
		all[i] = netip.Prefix(n)
	}
	slices.SortFunc(all, func(a, b netip.Prefix) int { // the wider one first
		return cmp.Or(a.Addr().Compare(b.Addr()), a.Bits()-b.Bits())
	})
	share := map[int]float64{} // of the widest, by the length of an address
	var last netip.Prefix
	for _, p := range all {
		if !last.Contains(p.Addr()) && !(p.Addr().IsLoopback() && p.Bits() >= shortest(p)) {
			share[p.Addr().BitLen()] += math.Ldexp(1, shortest(p)-p.Bits())
			last = p
		}
	}
	return share[32] >= 2 || share[128] >= 2
}

// checkClientAuth fills in whether clients must log in: they must where others
// can come, be it through a proxy, and where there is a list of who may.
func (r *routeConfig) checkClientAuth(d *decoder, key string, where reach) {
	if r.ClientAuth == "" {
		r.ClientAuth = clientAuthNone
		if where == reachOthers || r.ProxyProtocol || r.UsersFile != "" {
			r.ClientAuth = clientAuthRequired
		}
	}
	switch {
	case r.ClientAuth != clientAuthRequired && r.ClientAuth != clientAuthNone:
		d.problem(key, "%q is none of required, none", r.ClientAuth)
	case r.ClientAuth == clientAuthRequired && !r.takesLogins():
		d.problem(key, "is required here, and with upstream.auth: %s and no users_file nobody can log in; client_auth: none takes mail from all that allow names", r.Upstream.Auth)
	}
}

// takesLogins reports whether clients are offered AUTH.
func (r *routeConfig) takesLogins() bool { return r.Upstream.Auth == authRelay || r.UsersFile != "" }

// reach says who can get to the listener, or why it can be none.
func (r *routeConfig) reach() (where reach, problem string) {
	if path, ok := strings.CutPrefix(r.Listen, proxy.UnixPrefix); ok {
		if !filepath.IsAbs(path) {
			return 0, strconv.Quote(r.Listen) + ": the path of a socket must be absolute"
		}
		return reachFile, ""
	}
	if name, ok := strings.CutPrefix(r.Listen, proxy.SystemdPrefix); ok {
		if name == "" {
			return 0, strconv.Quote(r.Listen) + ": systemd: and the FileDescriptorName= of the socket unit"
		}
		return r.inheritedReach(name), ""
	}
	host, _, err := net.SplitHostPort(r.Listen)
	switch {
	case r.Listen == "":
		return 0, "is needed: host:port for the mail client, 127.0.0.1:1587 for example"
	case err != nil:
		return 0, strconv.Quote(r.Listen) + " is not host:port, unix:/path or systemd:NAME"
	case addressProblem(r.Listen) != "":
		return 0, addressProblem(r.Listen)
	case IsLoopback(host):
		return reachHere, ""
	}
	return reachOthers, ""
}

// inheritedReach looks at the sockets that systemd has passed. Where it has
// not, this is no service that starts but a look at its configuration, and
// what the configuration allows has to do.
func (r *routeConfig) inheritedReach(name string) reach {
	addrs := proxy.InheritedAddrs(name)
	if len(addrs) == 0 && len(r.Allow) > 0 {
		return reachOthers
	}
	where := reachFile
	for _, addr := range addrs {
		tcp, ok := addr.(*net.TCPAddr)
		switch {
		case ok && !tcp.IP.IsLoopback():
			return reachOthers
		case ok:
			where = reachHere
		}
	}
	return where
}

// check reports a certificate that cannot be used.
func (t *clientTLSConfig) check(d *decoder, key string) {
	if t.Mode != upstream.TLSStartTLS && t.Mode != upstream.TLSImplicit {
		d.problem(key+".mode", "%q is none of starttls, implicit", t.Mode)
	}
	switch {
	case t.Cert == "" && t.Key == "":
		return
	case t.Cert == "":
		d.problem(key+".cert", "is needed with a key")
		return
	case t.Key == "":
		d.problem(key+".key", "is needed with a certificate")
		return
	}
	t.Cert, t.Key = d.relative(t.Cert), d.relative(t.Key)
	if _, err := tls.LoadX509KeyPair(t.Cert, t.Key); err != nil {
		d.problem(key, "%v", aboutFile(err, t.Cert, t.Key))
	}
}
