package node

import (
	"testing"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
)

// A failover in which Redis loses the end of a log does not become a silent gap:
// the events that take the lost ones' offsets have other tags.
func TestReaderNoticesThatTheEndOfItsLogWasLost(t *testing.T) {
	t.Parallel()
	event := func(offset int64, tag string) eventlog.Event {
		return eventlog.Event{ID: eventlog.ID{Stream: eventlog.Standalone, Offset: offset, Nonce: tag}, Data: []byte(`{}`)}
	}
	attached := func(n int64) *Reader {
		r := &Reader{node: &Node{opts: Options{}.withDefaults()}, wake: make(chan struct{}, 1)}
		r.attach(eventlog.Attachment{})
		for offset := range n {
			r.deliver(event(offset, "before"), false)
		}
		return r
	}
	for _, test := range []struct {
		name   string
		happen func(*Reader)
		closes bool
	}{
		{"the same event twice", func(r *Reader) { r.deliver(event(2, "before"), false) }, false},
		{"another event under a known offset", func(r *Reader) { r.deliver(event(1, "behind"), false) }, true},
		{"a log that ends before what was read", func(r *Reader) { r.check(3, 1) }, true},
		{"a log that ends where it did", func(r *Reader) { r.check(3, 3) }, false},
		{"a log that was read further meanwhile", func(r *Reader) { r.check(1, 2) }, false},
		{"an old event that is forgotten", func(r *Reader) {
			for offset := range int64(2 * rememberedNonces) {
				r.deliver(event(3+offset, "before"), false)
			}
			r.deliver(event(0, "behind"), false)
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := attached(3)
			test.happen(r)
			if got := r.take().closed != nil; got != test.closes {
				t.Errorf("connection closed: %v, want %v", got, test.closes)
			}
		})
	}
}
