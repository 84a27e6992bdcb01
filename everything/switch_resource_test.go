package everything_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/everything"
)

const noticeURI = "test://dynamic/resource/notice"

// wantNotice checks that the resource is there, or not at all, for clients made by
// connect.
func wantNotice(t *testing.T, connect func() *mcp.ClientSession, version string, on bool) {
	t.Helper()
	list, err := connect().ListResources(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if listed := slices.ContainsFunc(list.Resources, func(r *mcp.Resource) bool { return r.URI == noticeURI }); listed != on || len(list.Resources) != 10 {
		t.Errorf("it is listed: %v, want %v, among %d resources", listed, on, len(list.Resources))
	}
	res, err := connect().ReadResource(t.Context(), &mcp.ReadResourceParams{URI: noticeURI})
	if !on {
		code := int64(-32002)
		if version >= v2026 {
			code = -32602
		}
		wantRPCError(t, err, code, "")
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Contents[0].Text; got != "This resource was made while the server runs." {
		t.Errorf("it says %q", got)
	}
}

func TestToggleResourceMakesAndRemovesAResource(t *testing.T) {
	t.Parallel()
	for _, version := range []string{v2025, v2026} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			shared := &sharedSwitch{}
			opts := &everything.Options{ResourceSwitch: shared}
			one, other := everything.New(opts), everything.New(opts)
			wantNotice(t, func() *mcp.ClientSession { return connect(t, one, version, nil) }, version, false)
			for _, on := range []bool{true, true, false} {
				want := noticeURI + map[bool]string{true: " is on.", false: " is off."}[on]
				wantText(t, call(t, connect(t, one, version, nil), "toggleResource", map[string]any{"on": on}), want)
				for _, server := range []*mcp.Server{one, other, everything.New(opts)} {
					wantNotice(t, func() *mcp.ClientSession { return connect(t, server, version, nil) }, version, on)
				}
			}
		})
	}
}

func TestEveryClientHearsOfAResourceThatIsMade(t *testing.T) {
	t.Parallel()
	for _, version := range []string{v2025, v2026} {
		synctest.Test(t, func(t *testing.T) {
			server := everything.New(nil)
			var heard atomic.Int32
			cs := connect(t, server, version, &mcp.ClientOptions{
				ResourceListChangedHandler: func(context.Context, *mcp.ResourceListChangedRequest) { heard.Add(1) },
			})
			synctest.Wait()
			call(t, connect(t, server, version, nil), "toggleResource", map[string]any{"on": true})
			time.Sleep(time.Second) // the SDK collects changes for 10 ms
			synctest.Wait()
			if got := heard.Load(); got != 1 {
				t.Errorf("%s: a client heard of it %d times, want 1", version, got)
			}
			wantNotice(t, func() *mcp.ClientSession { return cs }, version, true)
		})
	}
}

func TestResourcesChangedReplacesTheServersOwnNews(t *testing.T) {
	t.Parallel()
	var announced atomic.Int32
	server := everything.New(&everything.Options{
		ResourcesChanged: func(context.Context) error { announced.Add(1); return nil },
		ToolsChanged:     func(context.Context) error { return errors.New("of a tool") },
	})
	wantText(t, call(t, connect(t, server, v2025, nil), "toggleResource", map[string]any{"on": true}), noticeURI+" is on.")
	if got := announced.Load(); got != 1 {
		t.Errorf("it was announced %d times, want 1", got)
	}
}

// A broken switch is an error for what depends on it, and for nothing else.
func TestBrokenResourceSwitch(t *testing.T) {
	t.Parallel()
	server := everything.New(&everything.Options{ResourceSwitch: stuck{on: true, err: errors.New("secret")}})
	cs := connect(t, server, v2025, nil)
	want := "cannot tell whether " + noticeURI + " is on, try again later"
	_, err := cs.ListResources(t.Context(), nil)
	wantRPCError(t, err, -32603, want)
	_, err = cs.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: noticeURI})
	wantRPCError(t, err, -32603, want)
	wantToolError(t, call(t, cs, "toggleResource", map[string]any{"on": true}),
		"it is not certain that "+noticeURI+" was switched on, try again later")
	if _, err := cs.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: "test://static/resource/1"}); err != nil {
		t.Error(err)
	}
	if _, err := cs.ListTools(t.Context(), nil); err != nil {
		t.Error(err)
	}
}
