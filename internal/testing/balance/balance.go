// Package balance is the plain load balancer that tests and CI put in front of
// several instances: it spreads single requests and knows nothing of sessions.
package balance

import (
	"bytes"
	"errors"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
)

// A Picker chooses the backend, of n, that gets the next request. It must be
// safe for concurrent use.
type Picker func(n int) int

// Random picks any backend.
func Random(n int) int { return rand.IntN(n) }

// RoundRobin returns a Picker that gives each backend its turn: two requests
// sent one after the other never meet the same instance.
func RoundRobin() Picker {
	var next atomic.Uint64
	return func(n int) int { return int((next.Add(1) - 1) % uint64(n)) }
}

// A Balancer is the reverse proxy: an http.Handler. Use [New].
type Balancer struct {
	proxy     httputil.ReverseProxy
	transport *http.Transport
}

// New returns a Balancer that sends each request to the backend that pick
// chooses, and on to the next if that one accepts no connection. A request that
// reached a backend is never sent again: whatever befalls it then, befalls the
// client. Host and Origin pass unchanged, and every event of a stream at once.
func New(pick Picker, backends ...*url.URL) *Balancer {
	b := &Balancer{transport: newTransport()}
	b.proxy = httputil.ReverseProxy{
		Rewrite:       (*httputil.ProxyRequest).SetXForwarded,
		Transport:     &spreader{pick: pick, backends: backends, base: b.transport},
		FlushInterval: -1,
		// Killing a backend is what tests do; it is no news.
		ErrorLog: log.New(io.Discard, "", 0),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
	}
	return b
}

// ServeHTTP passes a request on. It returns when the backend's answer has ended
// or the client has gone.
func (b *Balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) { b.proxy.ServeHTTP(w, r) }

// Close closes the idle connections to the backends.
func (b *Balancer) Close() { b.transport.CloseIdleConnections() }

// newTransport returns a transport that keeps a connection for each of many
// concurrent calls; the default keeps two, and a benchmark would measure dials.
func newTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy, t.DisableCompression = nil, true
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, 512
	return t
}

// A spreader is the RoundTripper that chooses.
type spreader struct {
	pick     Picker
	backends []*url.URL
	base     *http.Transport
}

func (s *spreader) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := read(req)
	if err != nil {
		return nil, err
	}
	first := s.pick(len(s.backends))
	for i := range s.backends {
		backend := s.backends[(first+i)%len(s.backends)]
		var res *http.Response
		if res, err = s.base.RoundTrip(to(backend, req, body)); err == nil || !isDial(err) {
			return res, err
		}
	}
	return nil, err
}

// read returns the whole body of req, nil if there is none. The transport looks
// for more behind the end of a body, and the server closes the body when the
// response begins: if a backend is quick, the transport reads from a closed body
// and cuts the connection in the middle of the response.
func read(req *http.Request) ([]byte, error) {
	if req.Body == nil {
		return nil, nil
	}
	defer req.Body.Close()
	return io.ReadAll(req.Body)
}

// to returns req with its body for one backend.
func to(backend *url.URL, req *http.Request, body []byte) *http.Request {
	out := req.Clone(req.Context())
	out.URL.Scheme, out.URL.Host = backend.Scheme, backend.Host
	out.Body = nil
	if len(body) > 0 {
		out.Body = io.NopCloser(bytes.NewReader(body))
		out.ContentLength, out.TransferEncoding = int64(len(body)), nil
	}
	return out
}

func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
