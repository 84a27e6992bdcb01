package balance_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/testing/balance"
)

func TestRoundRobinGivesEachBackendItsTurn(t *testing.T) {
	t.Parallel()
	front := serve(t, balance.New(balance.RoundRobin(), named(t, "a"), named(t, "b"), named(t, "c")))
	var got strings.Builder
	for range 6 {
		got.WriteString(post(t, front, "x"))
	}
	if want := "a:x b:x c:x a:x b:x c:x "; got.String() != want {
		t.Errorf("got %q, want %q", got.String(), want)
	}
}

func TestRandomReachesEveryBackend(t *testing.T) {
	t.Parallel()
	front := serve(t, balance.New(balance.Random, named(t, "a"), named(t, "b"), named(t, "c")))
	seen := map[string]bool{}
	for range 200 {
		seen[post(t, front, "x")] = true
	}
	if len(seen) != 3 {
		t.Errorf("200 requests met %v", seen)
	}
}

func TestABackendThatAcceptsNothingIsPassedOver(t *testing.T) {
	t.Parallel()
	front := serve(t, balance.New(balance.RoundRobin(), dead(t), named(t, "b")))
	for range 4 {
		if got := post(t, front, "body"); got != "b:body " {
			t.Errorf("got %q", got)
		}
	}
}

func TestNoBackendLeftIsABadGateway(t *testing.T) {
	t.Parallel()
	front := serve(t, balance.New(balance.Random, dead(t)))
	res, err := http.Post(front.String(), "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusBadGateway {
		t.Errorf("status %d", res.StatusCode)
	}
}

// A request that a backend may have acted on must not run a second time.
func TestARequestIsNotSentAgainAfterItReachedABackend(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	broken := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		calls.Add(1)
		panic(http.ErrAbortHandler)
	}))
	front := serve(t, balance.New(balance.RoundRobin(), broken, broken))
	res, err := http.Post(front.String(), "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusBadGateway || calls.Load() != 1 {
		t.Errorf("status %d after %d calls", res.StatusCode, calls.Load())
	}
}

func TestHostAndOriginPassUnchanged(t *testing.T) {
	t.Parallel()
	backend := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Host+" "+r.Header.Get("Origin"))
	}))
	front := serve(t, balance.New(balance.Random, backend))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, front.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example.com"
	req.Header.Set("Origin", "http://evil.example.com")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); string(body) != "evil.example.com http://evil.example.com" {
		t.Errorf("the backend saw %q", body)
	}
}

// The backend sends its second event only when the client has read the first,
// and ends only when the client has gone: a proxy that held either back would hang here.
func TestStreamsPassAtOnceAndEndWithTheirClient(t *testing.T) {
	t.Parallel()
	read, gone := make(chan struct{}), make(chan struct{})
	backend := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(gone)
		w.Header().Set("Content-Type", "text/event-stream")
		rc := http.NewResponseController(w)
		io.WriteString(w, "data: 1\n")
		rc.Flush()
		<-read
		io.WriteString(w, "data: 2\n")
		rc.Flush()
		<-r.Context().Done()
	}))
	front := serve(t, balance.New(balance.Random, backend))
	res, err := http.Get(front.String())
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(res.Body)
	for _, want := range []string{"data: 1", "data: 2"} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("read %q, want %q (%v)", lines.Text(), want, lines.Err())
		}
		if want == "data: 1" {
			close(read)
		}
	}
	res.Body.Close()
	<-gone
}

// named is a backend that answers with its name and the body it was sent.
func named(t *testing.T, name string) *url.URL {
	return serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		io.WriteString(w, name+":"+string(body)+" ")
	}))
}

// dead is a backend at an address where nothing listens.
func dead(t *testing.T) *url.URL {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return &url.URL{Scheme: "http", Host: ln.Addr().String()}
}

func serve(t *testing.T, h http.Handler) *url.URL {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	if b, ok := h.(*balance.Balancer); ok {
		t.Cleanup(b.Close)
	}
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func post(t *testing.T, to *url.URL, body string) string {
	t.Helper()
	res, err := http.Post(to.String(), "text/plain", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

// A transport reads behind a body's end. By then the server may have closed the
// body, because a quick backend's response has begun; the transport takes that
// for a broken request and cuts the response short.
func TestAQuickResponseIsNotCutShort(t *testing.T) {
	t.Parallel()
	body := &closingBody{begun: make(chan struct{})}
	backend := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).Flush()
		close(body.begun)
		select {
		case <-r.Context().Done():
		case <-time.After(50 * time.Millisecond): // enough for a connection to be cut
		}
		io.WriteString(w, "answer")
	}))
	balancer := balance.New(balance.Random, backend)
	front := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = body
		balancer.ServeHTTP(w, r)
	}))
	if got := post(t, front, "request"); got != "answer" {
		t.Errorf("got %q", got)
	}
}

// A closingBody is a server's body of seven bytes that is closed when the
// response begins.
type closingBody struct {
	begun chan struct{}
	read  bool
}

func (b *closingBody) Read(p []byte) (int, error) {
	if !b.read {
		b.read = true
		return copy(p, "request"), io.EOF
	}
	<-b.begun
	return 0, http.ErrBodyReadAfterClose
}

func (b *closingBody) Close() error { return nil }
