package node

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// However soon a handler heeds its cancellation, what ended the call is what its
// client hears of.
func TestWhatEndsACallIsQuickerThanItsHandler(t *testing.T) {
	t.Parallel()
	heedful := func(ctx context.Context, _ *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		<-ctx.Done()
		return text("too late"), nil
	}
	for name, test := range map[string]struct {
		end  func(*Conn)
		want func(t *testing.T, a Response)
	}{
		"cancelled": {(*Conn).cancel, func(t *testing.T, a Response) {
			if m := decode(t, a.Body); m.Error == nil {
				t.Errorf("answered with %s", a.Body)
			}
		}},
		"session gone": {func(c *Conn) { c.abandon(sessionstore.ErrNotFound) }, func(t *testing.T, a Response) {
			if a.Err == nil {
				t.Errorf("answered with %s", a.Body)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const calls = 500
				f := newBubbleFleet(t, Options{MaxCalls: calls})
				sid, server := beginSession(t, f.store), oneTool(heedful, nil)
				conns := make([]*Conn, calls)
				for i := range conns {
					conns[i] = f.accept(t, f.nodes[0], server, sid, toolCall(fmt.Sprint(i))).conn
				}
				synctest.Wait()
				var ends sync.WaitGroup
				for _, c := range conns {
					ends.Go(func() { test.end(c) })
				}
				for _, c := range conns {
					test.want(t, <-c.Response())
				}
				ends.Wait()
			})
		})
	}
}
