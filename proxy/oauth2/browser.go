package oauth2

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// A desk is where a browser of this machine brings the answer: a web server on
// loopback, for one question.
type desk struct {
	*attempt
	account int         // whose browser it is
	once    string      // the path of the address that leads to the question
	path    string      // where the answer comes
	asked   atomic.Bool // the question was fetched
	got     chan answer // one
}

type answer struct {
	code string
	err  error
}

// LogInByBrowser has open show a person an address of this machine, which leads to
// the provider once: what a browser is started with stands in the list of processes,
// and is not to have a parameter of the question in it.
func (c *Client) LogInByBrowser(ctx context.Context, open func(address string)) (*Grant, error) {
	ctx, cancel := context.WithTimeout(ctx, signInTime)
	defer cancel()
	listeners, redirect, err := c.listen()
	if err != nil {
		return nil, err
	}
	defer closeAll(listeners)
	a, err := c.attempt(ctx, redirect.String())
	if err != nil {
		return nil, err
	}
	d := &desk{attempt: a, account: os.Getuid(), once: "/" + rand.Text(), path: cmp.Or(redirect.Path, "/"), got: make(chan answer, 1)}
	server := &http.Server{Handler: d, ReadTimeout: callTime, WriteTimeout: callTime, MaxHeaderBytes: maxAddress}
	for _, l := range listeners {
		go server.Serve(l) // ends with Shutdown
	}
	open("http://" + redirect.Host + d.once)
	var came answer
	select {
	case came = <-d.got:
	case <-ctx.Done():
		came.err = errNobody
	}
	closing, cancelClosing := context.WithTimeout(context.WithoutCancel(ctx), time.Second) // the page is still on its way
	defer cancelClosing()
	if server.Shutdown(closing) != nil {
		server.Close()
	}
	if came.err != nil {
		return nil, came.err
	}
	return a.exchange(ctx, came.code)
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		l.Close()
	}
}

// listen opens the port of the redirect address on both kinds of loopback: localhost
// may be either, and nobody else is to have the other one.
func (c *Client) listen() (listeners []net.Listener, redirect *url.URL, err error) {
	port := "0"
	redirect = &url.URL{Scheme: "http", Host: c.loopback()}
	if c.RedirectURL != "" {
		if redirect, err = url.Parse(c.RedirectURL); err != nil || !IsLoopback(redirect) {
			return nil, nil, &Fault{Kind: Refused, text: "redirect_url is not one of this machine: use --paste"}
		}
		port = redirect.Port()
	}
	for range 10 {
		if listeners, err = listenOnBoth(port); err == nil {
			_, port, _ = net.SplitHostPort(listeners[0].Addr().String())
			redirect.Host = net.JoinHostPort(redirect.Hostname(), port)
			return listeners, redirect, nil
		}
	}
	return nil, nil, &Fault{Kind: Failed, text: "there is no port for the answer: another program has it"}
}

func listenOnBoth(port string) ([]net.Listener, error) {
	first, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return nil, err
	}
	number := first.Addr().(*net.TCPAddr).Port
	second, err := net.Listen("tcp6", net.JoinHostPort("::1", strconv.Itoa(number)))
	if errors.Is(err, syscall.EADDRINUSE) {
		first.Close()
		return nil, err
	}
	if err != nil { // this machine has no IPv6
		return []net.Listener{first}, nil
	}
	return []net.Listener{first, second}, nil
}

// IsLoopback reports whether an address is of this machine, and of http.
func IsLoopback(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}

func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	here, err := url.Parse("http://" + r.Host) // a name of somebody else's may lead here
	switch {
	case err != nil || !IsLoopback(here) || r.Method != http.MethodGet || d.isForeign(r):
		http.Error(w, "Not here.", http.StatusForbidden)
	case r.URL.Path == d.once && d.asked.CompareAndSwap(false, true):
		http.Redirect(w, r, d.question(), http.StatusSeeOther)
	case r.URL.Path == d.path && r.URL.RawQuery != "":
		d.take(w, r.URL.Query())
	default:
		http.NotFound(w, r)
	}
}

func (d *desk) isForeign(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return ok && ofSomebodyElse(local.String(), r.RemoteAddr, d.account)
}

// take takes the one answer to the question.
func (d *desk) take(w http.ResponseWriter, query url.Values) {
	code, err := d.code(query)
	if errors.Is(err, errNotAsked) {
		http.Error(w, "This is not the answer to the sign-in that sendguard waits for.", http.StatusBadRequest)
		return
	}
	select {
	case d.got <- answer{code, err}:
	default:
		http.Error(w, "sendguard has an answer already.", http.StatusConflict)
		return
	}
	if err != nil {
		w.Write([]byte("sendguard could not be logged in: see the terminal. You can close this window.\n"))
		return
	}
	w.Write([]byte("sendguard has the answer: see the terminal. You can close this window.\n"))
}
