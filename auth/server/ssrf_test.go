package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"code.dny.dev/ssrf"

	"github.com/mcpfleet/mcpfleet/internal/fetch"
	"github.com/mcpfleet/mcpfleet/internal/limit"
)

// The forms of addresses that are not of the public internet are tested with
// package fetch; this is that nothing of the server goes around it.

// A guardedWeb is the server's own client for the public internet, but for one
// host, which is a TLS server of the test. It notes what the guard refuses.
type guardedWeb struct {
	tls *httptest.Server

	mu      sync.Mutex
	refused []string
}

func newGuardedWeb(t *testing.T, h http.Handler) *guardedWeb {
	t.Helper()
	g := &guardedWeb{tls: httptest.NewTLSServer(h)}
	t.Cleanup(g.tls.Close)
	return g
}

func (g *guardedWeb) on(o *Options) {
	c := fetch.Public()
	transport := c.Transport.(*http.Transport)
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == "example.com:443" {
			return (&net.Dialer{}).DialContext(ctx, network, g.tls.Listener.Addr().String())
		}
		conn, err := dial(ctx, network, address)
		if errors.Is(err, ssrf.ErrProhibitedIP) || errors.Is(err, ssrf.ErrProhibitedPort) {
			g.mu.Lock()
			g.refused = append(g.refused, address)
			g.mu.Unlock()
		}
		return conn, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(g.tls.Certificate())
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	o.HTTPClient, o.Limits = c, &Limits{}
}

func newListener(t *testing.T) (address string, conns *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conns = new(atomic.Int64)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns.Add(1)
			conn.Close()
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return l.Addr().String(), conns
}

func TestT18_ClientIDsOfTheInsideAreNotConnectedTo(t *testing.T) {
	t.Parallel()
	address, conns := newListener(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	fl := oneFleet(t, func(o *Options) { o.Limits = &Limits{} }) // and no HTTPClient: the default
	fl.unlimited()
	for _, host := range []string{
		"127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "0.0.0.0",
		"[fc00::1]", "[fe80::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "localhost", "localhost.",
		"2130706433", "0x7f000001", "017700000001", "127.1",
	} {
		for _, id := range []string{"https://" + host + "/client.json", "https://" + host + ":" + port + "/client.json"} {
			res := newBrowser(t).get(t, fl.url+authorizePath+"?"+url.Values{"client_id": {id}}.Encode())
			if res.status != http.StatusServiceUnavailable && res.status != http.StatusBadRequest || res.header.Get("Location") != "" ||
				strings.Contains(res.body, "prohibited") || strings.Contains(res.body, "refused") {
				t.Errorf("%s: %d %s", id, res.status, res.body)
			}
		}
	}
	if n := conns.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

func TestT20_KeysOfTheInsideAreNotFetched(t *testing.T) {
	t.Parallel()
	var documents sync.Map
	g := newGuardedWeb(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := documents.Load(r.URL.Path)
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, body)
	}))
	fl := oneFleet(t, g.on).unlimited()
	key := newKey()
	for n, host := range []string{"127.0.0.1", "[::1]", "169.254.169.254", "10.0.0.1", "0.0.0.0", "[64:ff9b::7f00:1]"} {
		path := fmt.Sprintf("/%d.json", n)
		id := "https://example.com" + path
		documents.Store(path, documentOf(metadataSet{
			"client_id": id, "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://" + host + "/jwks",
		}))
		res := fl.withAssertion(t, assertionOf(t, fl, key, id))
		if res.status != http.StatusServiceUnavailable || res.json(t)["error"] != "temporarily_unavailable" {
			t.Errorf("%s: %d %s", host, res.status, res.body)
		}
		g.mu.Lock()
		if len(g.refused) != n+1 {
			t.Errorf("%s: the guard was not asked: %v", host, g.refused)
		}
		g.mu.Unlock()
	}
	// The same with keys that are outside.
	documents.Store("/good.json", documentOf(metadataSet{
		"client_id": "https://example.com/good.json", "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://example.com/jwks",
	}))
	documents.Store("/jwks", jwksOf(key))
	if res := fl.withAssertion(t, assertionOf(t, fl, key, "https://example.com/good.json")); res.json(t)["error"] != "invalid_grant" {
		t.Errorf("%d %s", res.status, res.body)
	}
}

func TestT19_ARedirectOfADocumentIsNotFollowed(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	g := newGuardedWeb(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.Redirect(w, r, "https://example.com/elsewhere", http.StatusFound)
	}))
	fl := oneFleet(t, g.on)
	for _, instance := range fl.instances {
		instance.clients.documents.fetcher.forAddress = limit.Rate{}
	}
	res := newBrowser(t).get(t, fl.url+authorizePath+"?"+url.Values{"client_id": {"https://example.com/client"}}.Encode())
	if res.status != http.StatusBadRequest || asked.Load() != 1 {
		t.Errorf("%d, asked %d times: %s", res.status, asked.Load(), res.body)
	}
}
