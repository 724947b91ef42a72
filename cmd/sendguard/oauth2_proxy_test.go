//go:build unix

package main

import (
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// newWayOut starts a proxy for CONNECT that leads to one server alone, whatever the name
// that is asked for.
func newWayOut(t *testing.T, name, server string) (url string, used *atomic.Int32) {
	t.Helper()
	used = new(atomic.Int32)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != name {
			t.Errorf("the proxy is asked to %s %s", r.Method, r.Host)
			http.Error(w, "", http.StatusForbidden)
			return
		}
		used.Add(1)
		client, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer client.Close()
		up, err := net.Dial("tcp", server)
		if err != nil {
			t.Error(err)
			return
		}
		defer up.Close()
		for _, c := range []net.Conn{client, up} {
			c.SetDeadline(time.Now().Add(patience))
		}
		io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
		var back sync.WaitGroup
		back.Go(func() { io.Copy(client, up); client.Close() })
		io.Copy(up, buffered)
		up.Close()
		back.Wait()
	}))
	t.Cleanup(proxy.Close)
	return proxy.URL, used
}

// The name of the provider leads nowhere but through the proxy, and its certificate has
// an issuer that ca_file alone knows.
func TestAProviderIsReachedThroughAProxyOfTheEnvironment(t *testing.T) {
	s := newOAuth(t)
	secure := httptest.NewTLSServer(s.provider.Config.Handler)
	t.Cleanup(secure.Close)
	way, used := newWayOut(t, "example.com:443", secure.Listener.Addr().String())
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(s.text(s.dir), s.provider.URL+"/token", "https://example.com/token", 1)
	s.config = writeConfig(t, strings.Replace(text, "      tls: none\n", "      tls: none\n      ca_file: "+roots+"\n", 1))
	for _, name := range []string{"NO_PROXY", "no_proxy", "https_proxy"} {
		t.Setenv(name, "")
	}
	t.Setenv("HTTPS_PROXY", way)
	s.loginProcess()
	if n := used.Load(); n != 1 {
		t.Errorf("sendguard login used the proxy %d times", n)
	}
	p := s.serve()
	p.mustSend("250")
	p.stop()
	if n := used.Load(); n != 2 || s.provider.Calls() != 2 {
		t.Errorf("the proxy was used %d times, the provider asked %d times", n, s.provider.Calls())
	}
}
