package transport_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	"github.com/mcpfleet/mcpfleet/session"
)

func TestAClientSeesOneServer(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		progress := make(chan float64, 3)
		f := newFleet(t, s, func(f *fleet, server *mcp.Server) {
			tool(server, "work", func(ctx context.Context, req *mcp.CallToolRequest) (string, error) {
				for i := range 3 {
					err := req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: req.Params.GetProgressToken(), Progress: float64(i + 1)})
					if err != nil {
						return "", err
					}
				}
				return "done", nil
			})
			tool(server, "count", func(ctx context.Context, req *mcp.CallToolRequest) (string, error) {
				counts := session.NewValues[int](f.nodes[0].Sessions(), "count")
				n, err := counts.Update(ctx, req.Session.ID(), func(n int) (int, error) { return n + 1, nil })
				return fmt.Sprint(n), err
			})
		})
		cs := f.connect(t, &mcp.ClientOptions{
			ProgressNotificationHandler: func(_ context.Context, req *mcp.ProgressNotificationClientRequest) {
				progress <- req.Params.Progress
			},
		})
		list, err := cs.ListTools(t.Context(), nil)
		if err != nil || len(list.Tools) != 2 {
			t.Errorf("tools %+v, %v", list, err)
		}
		for i := range 10 {
			wantCall(t, cs, "count", fmt.Sprint(i+1))
		}
		wantCall(t, cs, "work", "done")
		for want := range 3 {
			if got := receive(t, "progress", progress); got != float64(want+1) {
				t.Errorf("progress %v, want %v", got, want+1)
			}
		}
	})
}

func TestAClientsResponseReachesTheCallThatAsked(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := newFleet(t, s, func(_ *fleet, server *mcp.Server) {
			tool(server, "ask", func(ctx context.Context, req *mcp.CallToolRequest) (string, error) {
				answer, err := req.Session.Elicit(ctx, &mcp.ElicitParams{Message: "well?", RequestedSchema: map[string]any{"type": "object"}})
				if err != nil {
					return "", err
				}
				return answer.Action, nil
			})
		})
		cs := f.connect(t, &mcp.ClientOptions{
			ElicitationHandler: func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
				return &mcp.ElicitResult{Action: "decline"}, nil
			},
		})
		for range 8 { // half of the responses arrive at the other node
			wantCall(t, cs, "ask", "decline")
		}
	})
}

func TestACutStreamIsResumed(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		heard, goOn := make(chan float64, 4), make(chan struct{})
		f := newFleet(t, s, func(f *fleet, server *mcp.Server) {
			tool(server, "work", func(ctx context.Context, req *mcp.CallToolRequest) (string, error) {
				for i := range 4 {
					if i == 2 {
						<-goOn
					}
					err := req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: req.Params.GetProgressToken(), Progress: float64(i + 1)})
					if err != nil {
						return "", err
					}
				}
				return "done", nil
			})
		})
		cs := f.connect(t, &mcp.ClientOptions{
			ProgressNotificationHandler: func(_ context.Context, req *mcp.ProgressNotificationClientRequest) {
				heard <- req.Params.Progress
			},
		})
		done := make(chan struct{})
		go func() {
			defer close(done)
			wantCall(t, cs, "work", "done")
		}()
		for want := range 4 {
			if want == 2 {
				f.cutLast()
				close(goOn)
			}
			if got := receive(t, "progress", heard); got != float64(want+1) {
				t.Errorf("progress %v, want %v", got, want+1)
			}
		}
		receive(t, "the result", done)
		if f.resumed.Load() == 0 {
			t.Error("the client did not resume: its connection was not cut")
		}
	})
}

func TestACallIsCancelledFromAnyNode(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		running, cancelled := make(chan struct{}, 1), make(chan struct{}, 1)
		f := newFleet(t, s, func(_ *fleet, server *mcp.Server) {
			tool(server, "wait", func(ctx context.Context, _ *mcp.CallToolRequest) (string, error) {
				running <- struct{}{}
				<-ctx.Done()
				cancelled <- struct{}{}
				return "", ctx.Err()
			})
		})
		cs := f.connect(t, nil)
		for range 4 { // on either node, from either node
			ctx, cancel := context.WithCancel(t.Context())
			go func() { _, _ = cs.CallTool(ctx, &mcp.CallToolParams{Name: "wait"}) }() // the error is the cancellation
			receive(t, "the call", running)
			cancel()
			receive(t, "the cancellation", cancelled)
		}
	})
}

func TestAnUpdateReachesASubscribedClient(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		updated := make(chan string, 10)
		f := newFleet(t, s, func(_ *fleet, server *mcp.Server) {
			server.AddResource(&mcp.Resource{URI: "test://a", Name: "a"}, func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
				return &mcp.ReadResourceResult{}, nil
			})
		})
		cs := f.connect(t, &mcp.ClientOptions{
			ResourceUpdatedHandler: func(_ context.Context, req *mcp.ResourceUpdatedNotificationRequest) { updated <- req.Params.URI },
		})
		if err := cs.Subscribe(t.Context(), &mcp.SubscribeParams{URI: "test://a"}); err != nil {
			t.Fatal(err)
		}
		for _, node := range f.nodes {
			if err := node.ResourceUpdated(t.Context(), "test://a"); err != nil {
				t.Fatal(err)
			}
			if uri := receive(t, "the update", updated); uri != "test://a" {
				t.Errorf("update of %q", uri)
			}
		}
	})
}

func TestADeletedSessionIsGoneEverywhere(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := newFleet(t, s, func(_ *fleet, server *mcp.Server) {
			tool(server, "x", func(context.Context, *mcp.CallToolRequest) (string, error) { return "", nil })
		})
		cs := f.connect(t, nil)
		id := cs.ID()
		if err := cs.Close(); err != nil {
			t.Fatal(err)
		}
		for i, node := range f.nodes {
			_, err := node.Sessions().LoadFresh(t.Context(), id)
			wantErr(t, fmt.Sprintf("LoadFresh of node %d", i), err, session.ErrNotFound)
			wantErr(t, fmt.Sprintf("Delete of node %d", i), node.Delete(t.Context(), id, ""), session.ErrNotFound)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, f.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Mcp-Session-Id", id)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusNotFound {
			t.Errorf("a second DELETE: %s, %v", resp.Status, err)
		}
	})
}

// The SDK's client asks for the newest protocol, which has no sessions, unless it
// is told otherwise.
func TestAClientOfTheNewestProtocolFallsBackToSessions(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.NewMiniredis(t), func(_ *fleet, server *mcp.Server) {
		tool(server, "x", func(_ context.Context, req *mcp.CallToolRequest) (string, error) { return req.Session.ID(), nil })
	})
	cs := f.connectAs(t, nil, nil)
	if v := cs.InitializeResult().ProtocolVersion; !strings.HasPrefix(v, "2025-") {
		t.Errorf("protocol %s", v)
	}
	wantCall(t, cs, "x", cs.ID())
}
