package redistest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"testing"

	"github.com/redis/rueidis"
)

// Link returns a new network path to the server, one for each instance that a
// test simulates.
func (s *Server) Link() *Link {
	return newLink(s.Option(), func(ctx context.Context, addr string, dialer *net.Dialer) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp", addr)
	})
}

func newLink(option rueidis.ClientOption, far func(context.Context, string, *net.Dialer) (net.Conn, error)) *Link {
	return &Link{option: option, far: far, conns: make(map[net.Conn]bool)}
}

// ErrCut is what dialling over a cut link says.
var ErrCut = errors.New("link is cut")

// A Link is a network path to a Redis. A test may cut it or freeze it while
// clients use it. It is safe for concurrent use.
type Link struct {
	option rueidis.ClientOption // of the clients behind the link
	far    func(ctx context.Context, addr string, dialer *net.Dialer) (net.Conn, error)

	mu    sync.Mutex
	cut   bool
	thaw  chan struct{} // closed by Heal; nil while nothing is frozen
	conns map[net.Conn]bool
}

// Client returns a new client over the link, changed by the given functions.
// The link is healed and the client closed when the test ends.
func (l *Link) Client(t testing.TB, change ...func(*rueidis.ClientOption)) rueidis.Client {
	t.Helper()
	opt := l.option
	opt.DialCtxFn = l.Dial
	client := newClient(t, opt, change)
	t.Cleanup(l.Heal) // runs before the client closes, which waits for its calls
	return client
}

// Cut breaks every connection, and refuses new ones until [Link.Heal].
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	for c := range l.conns {
		c.Close()
	}
	clear(l.conns)
}

// Freeze holds back everything that travels in either direction until
// [Link.Heal]: connections stay open, what was sent arrives late.
func (l *Link) Freeze() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.thaw == nil {
		l.thaw = make(chan struct{})
	}
}

// Heal undoes [Link.Cut] and [Link.Freeze].
func (l *Link) Heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
	if l.thaw != nil {
		close(l.thaw)
		l.thaw = nil
	}
}

// Dial connects over the link. It is for [rueidis.ClientOption.DialCtxFn].
func (l *Link) Dial(ctx context.Context, addr string, dialer *net.Dialer, _ *tls.Config) (net.Conn, error) {
	if timeout := dialer.Timeout; timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	if err := l.wait(ctx); err != nil {
		return nil, err
	}
	far, err := l.far(ctx, addr, dialer)
	if err != nil {
		return nil, err
	}
	near, middle := net.Pipe()
	if !l.keep(middle) {
		middle.Close()
		far.Close()
		return nil, ErrCut
	}
	go l.carry(middle, far)
	go l.carry(far, middle)
	return near, nil
}

func (l *Link) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.cut {
		l.conns[c] = true
	}
	return !l.cut
}

func (l *Link) forget(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// wait returns when nothing is frozen.
func (l *Link) wait(ctx context.Context) error {
	for {
		l.mu.Lock()
		thaw := l.thaw
		l.mu.Unlock()
		if thaw == nil {
			return nil
		}
		select {
		case <-thaw:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// carry moves bytes one way until either side closes. The buffer between
// reading and writing stands for the kernel's: a frozen link takes bytes.
func (l *Link) carry(from, to net.Conn) {
	packets := make(chan []byte, 1024)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer from.Close()
		defer to.Close()
		broken := false
		for p := range packets {
			if !broken {
				_ = l.wait(context.Background()) // ends with Heal, which the test's end calls
				_, err := to.Write(p)
				broken = err != nil
			}
		}
	})
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			packets <- bytes.Clone(buf[:n])
		}
		if err != nil {
			close(packets)
			break
		}
	}
	wg.Wait()
	l.forget(from)
}
