package redistest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
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
	return &Link{option: option, far: far, conns: make(map[net.Conn]*conn)}
}

// ErrCut is what dialling over a cut link says.
var ErrCut = errors.New("link is cut")

// A Link is a network path to a Redis. A test may cut it or freeze it while
// clients use it. It is safe for concurrent use.
type Link struct {
	option rueidis.ClientOption // of the clients behind the link
	far    func(ctx context.Context, addr string, dialer *net.Dialer) (net.Conn, error)

	mu    sync.Mutex // guards all fields below
	cut   bool
	thaw  chan struct{}   // closed by Heal; nil while nothing is frozen
	late  []chan struct{} // of the connections that were overtaken, closed by Deliver
	conns map[net.Conn]*conn
}

// A conn is one connection over the link.
type conn struct {
	late chan struct{} // nil unless the connection was overtaken
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

// Overtake breaks every connection for the client, who makes new ones. What it
// sent over the old ones while the link was frozen travels on with
// [Link.Deliver]: after what it sends over the new ones until then.
func (l *Link) Overtake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	late := l.thaw
	if late == nil {
		late = make(chan struct{})
	}
	l.thaw = nil
	l.late = append(l.late, late)
	for near, c := range l.conns {
		c.late = late
		near.Close()
	}
	clear(l.conns)
}

// Deliver has everything arrive that was overtaken.
func (l *Link) Deliver() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, late := range l.late {
		close(late)
	}
	l.late = nil
}

// Heal undoes [Link.Cut] and [Link.Freeze], and delivers what was overtaken.
func (l *Link) Heal() {
	l.Deliver()
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
	c := &conn{}
	if err := l.wait(ctx, c); err != nil {
		return nil, err
	}
	far, err := l.far(ctx, addr, dialer)
	if err != nil {
		return nil, err
	}
	near, middle := net.Pipe()
	if !l.keep(middle, c) {
		middle.Close()
		far.Close()
		return nil, ErrCut
	}
	go l.carry(c, middle, far)
	go l.carry(c, far, middle)
	return near, nil
}

func (l *Link) keep(near net.Conn, c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.cut {
		l.conns[near] = c
	}
	return !l.cut
}

func (l *Link) forget(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// wait returns when a connection is not frozen.
func (l *Link) wait(ctx context.Context, c *conn) error {
	for {
		l.mu.Lock()
		thaw := l.thaw
		if c.late != nil {
			thaw = c.late
			if !slices.Contains(l.late, thaw) {
				thaw = nil // delivered
			}
		}
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
func (l *Link) carry(c *conn, from, to net.Conn) {
	packets := make(chan []byte, 1024)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer from.Close()
		defer to.Close()
		broken := false
		for p := range packets {
			if !broken {
				_ = l.wait(context.Background(), c) // ends with Heal, which the test's end calls
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
