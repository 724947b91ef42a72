package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"sendguard/proxy/upstream"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"
)

// Status serves /metrics, /livez and /readyz.
type Status struct {
	listener net.Listener
	server   *http.Server
	done     chan struct{}
}

// instanceHeader has /readyz say which guard answers.
const instanceHeader = "Sendguard-Instance"

// NewStatus listens on addr and serves the metrics; ready answers /readyz, which
// says which instance this is.
func NewStatus(addr, instance string, m *Metrics, ready func() bool) (*Status, error) {
	l, err := listenForStatus(addr)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !ready() {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set(instanceHeader, instance)
		fmt.Fprintln(w, "ok")
	})
	s := &Status{listener: l, done: make(chan struct{}), server: &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: time.Minute, MaxHeaderBytes: 64 << 10,
	}}
	s.server.SetKeepAlivesEnabled(false) // who has asked makes room for who asks next
	go func() {
		defer close(s.done)
		s.server.Serve(l)
	}()
	return s, nil
}

// maxStatusConns is how many may be open: mail is not to lack what questions about
// it take.
const maxStatusConns = 10

// A statusListener has a descriptor of its own, to answer when there is no other.
type statusListener struct {
	net.Listener
	kept kept
}

func listenForStatus(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &statusListener{Listener: l}
	s.kept.hold()
	return netutil.LimitListener(s, maxStatusConns), nil
}

func (l *statusListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if !upstream.OutOfDescriptors(err) {
		return conn, err
	}
	lent, none := l.kept.accept(l.Listener)
	if none != nil {
		return nil, err // with a pause, the server tries again
	}
	return &lentConn{lent, l}, nil
}

func (l *statusListener) Close() error {
	l.kept.release()
	return l.Listener.Close()
}

// A lentConn has the descriptor that was kept.
type lentConn struct {
	net.Conn
	from *statusListener
}

func (c *lentConn) Close() error {
	err := c.Conn.Close()
	c.from.kept.hold()
	return err
}

// Addr returns where the status is served.
func (s *Status) Addr() net.Addr { return s.listener.Addr() }

// CheckAlive asks /livez as a client does; the error says that it is not
// answered before ctx ends.
func (s *Status) CheckAlive(ctx context.Context) error {
	_, err := ask(ctx, s.Addr().String(), "/livez")
	if upstream.OutOfDescriptors(err) { // for the question: that says nothing of the answer
		return nil
	}
	return err
}

// Close ends it.
func (s *Status) Close() error {
	err := s.server.Close()
	<-s.done
	return err
}

// CheckReady asks /readyz of the sendguard whose status is served on addr. Where
// an instance is named, another one's answer is an error.
func CheckReady(ctx context.Context, addr, instance string) error {
	header, err := ask(ctx, addr, "/readyz")
	if err == nil && instance != "" && header.Get(instanceHeader) != instance {
		err = errors.New("another sendguard answers there, with another configuration")
	}
	return err
}

func ask(ctx context.Context, addr, path string) (http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return nil, err
	}
	req.Close = true                                                           // it is asked seldom
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // without a proxy from the environment
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	return resp.Header, nil
}
