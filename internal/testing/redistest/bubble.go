package redistest

import (
	"context"
	"net"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/rueidis"
)

// A Bubble is a miniredis for a testing/synctest bubble: no sockets, and keys
// expire by the bubble's clock. Its miniredis's Addr is not usable.
type Bubble struct {
	*miniredis.Miniredis
}

// NewBubble returns the Redis of the bubble that t belongs to.
func NewBubble(t testing.TB) *Bubble {
	t.Helper()
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true)
	t.Cleanup(m.Close)
	return &Bubble{m}
}

// Client returns a new client behind a link that nobody touches.
func (b *Bubble) Client(t testing.TB) rueidis.Client {
	t.Helper()
	return b.Link().Client(t)
}

// Link returns a new network path to the Redis, one for each instance that a
// test simulates.
func (b *Bubble) Link() *Link {
	return newLink(clientOption(Miniredis, "bubble"), func(context.Context, string, *net.Dialer) (net.Conn, error) {
		return b.Miniredis.Dial()
	})
}
