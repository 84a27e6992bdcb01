package node

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/sse"
)

// The message that a stream has another reader may be lost on its way. The
// connection that should have had it ends nevertheless, and says nothing that the
// other one says.
func TestAConnectionEndsThatMissedItsTakeOver(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T, f *fleet, sid string) (*viewer, eventlog.StreamID){
		"call's stream": func(t *testing.T, f *fleet, sid string) (*viewer, eventlog.StreamID) {
			r := f.call(t, f.nodes[0], speaker(t, time.Hour), sid, toolCall("7"))
			r.message(t)
			r.hangUp()
			return f.resume(t, f.nodes[1], sid, r.lastID(t)), eventlog.StreamID{Session: sid, Stream: r.lastID(t).Stream}
		},
		"standalone stream": func(t *testing.T, f *fleet, sid string) (*viewer, eventlog.StreamID) {
			return f.resume(t, f.nodes[1], sid, nil), eventlog.StandaloneOf(sid)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newBubbleFleet(t, Options{})
				sid := beginSession(t, f.store)
				v, stream := open(t, f, sid)
				time.Sleep(testTTL)
				a := eventlog.Append{Nonce: eventlog.NewNonce(), Data: []byte(`{"jsonrpc":"2.0","method":"for/the/other"}`)}
				if !eventlog.IsStandalone(stream.Stream) {
					a.Writer = f.nodes[0].ID()
				}
				if _, err := f.log.Attach(t.Context(), stream, f.nodes[0].ID()+"/other", nil); err != nil {
					t.Fatal(err)
				}
				if _, _, err := f.log.Append(t.Context(), stream, a); err != nil {
					t.Fatal(err)
				}
				time.Sleep(testTTL / 2)
				select {
				case <-v.over:
				default:
					t.Fatal("it goes on")
				}
				var last sse.Event
				for e := range v.events {
					if len(e.Data) > 0 {
						t.Errorf("it was sent %s", e.Data)
					}
					last = e
				}
				if last.Retry != reconnectLater {
					t.Errorf("it ended with %+v", last)
				}
			})
		})
	}
}
