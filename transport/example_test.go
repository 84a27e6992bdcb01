package transport_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/alicebob/miniredis/v2"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/transport"
)

// Two nodes serve one session over HTTP: the client begins it at one, calls a
// tool at the other, and ends it at the first.
func ExampleNewNode() {
	ctx := context.Background()
	redis, stop := newRedis()
	defer stop()
	var nodes []*transport.Node
	for range 2 {
		node, err := transport.NewNode(ctx, &transport.Options{Redis: redis})
		if err != nil {
			log.Fatal(err)
		}
		nodes = append(nodes, node)
	}

	requests := 0
	balancer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		turn := requests % 2
		requests++
		fmt.Printf("node %d: %s\n", turn, r.Method)
		serveMCP(nodes[turn], newGreeter()).ServeHTTP(w, r)
	}))
	defer balancer.Close()

	client, err := mcp.NewClient(&mcp.Implementation{Name: "example", Version: "1.0.0"}, nil).Connect(ctx,
		&mcp.StreamableClientTransport{Endpoint: balancer.URL, DisableStandaloneSSE: true},
		&mcp.ClientSessionOptions{ProtocolVersion: "2025-11-25"})
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"Ada", "Grace"} {
		result, err := client.CallTool(ctx, &mcp.CallToolParams{Name: "greet", Arguments: map[string]any{"name": name}})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(result.Content[0].(*mcp.TextContent).Text)
	}
	if err := client.Close(); err != nil {
		log.Fatal(err)
	}
	for _, node := range nodes {
		if err := node.Shutdown(ctx); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// node 0: POST
	// node 1: POST
	// node 0: POST
	// Hello, Ada!
	// node 1: POST
	// Hello, Grace!
	// node 0: DELETE
}

// serveMCP is an HTTP layer for a node. It has no authentication; with it, the
// user would be the owner in all three cases.
func serveMCP(node *transport.Node, server *mcp.Server) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, session := r.Context(), r.Header.Get("Mcp-Session-Id")
		var resp *transport.Response
		var err error
		switch r.Method {
		case http.MethodPost: // a message
			message, readErr := io.ReadAll(http.MaxBytesReader(w, r.Body, 4<<20))
			if readErr != nil {
				http.Error(w, "the message could not be read", http.StatusBadRequest)
				return
			}
			resp, err = node.Serve(ctx, server, transport.Request{
				Session: session, Message: message, Extra: &mcp.RequestExtra{Header: r.Header},
			})
		case http.MethodGet: // a stream
			resp, err = node.Resume(ctx, session, "", r.Header.Get("Last-Event-ID"))
		case http.MethodDelete: // the end of the session
			if err = node.Delete(ctx, session, ""); err == nil {
				w.WriteHeader(http.StatusNoContent)
				return
			}
		default:
			http.Error(w, "", http.StatusMethodNotAllowed)
			return
		}
		if err != nil {
			transport.WriteError(w, err)
			return
		}
		resp.WriteHTTP(w, r)
	})
}

// Without HTTP: whatever brings the client's messages, and takes them.
func ExampleResponse_Send() {
	ctx := context.Background()
	redis, stop := newRedis()
	defer stop()
	node, err := transport.NewNode(ctx, &transport.Options{Redis: redis})
	if err != nil {
		log.Fatal(err)
	}
	defer node.Shutdown(ctx)

	session := ""
	for _, message := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"example","version":"1"}}}`,
		`{"jsonrpc":"2.0","method":"notifications/initialized"}`,
		`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"greet","arguments":{"name":"Ada"}}}`,
	} {
		resp, err := node.Serve(ctx, newGreeter(), transport.Request{Session: session, Message: json.RawMessage(message)})
		if err != nil {
			log.Fatal(err)
		}
		err = resp.Send(ctx, func(e transport.Event) error {
			if session != "" { // the result of initialize is long
				fmt.Println(string(e.Message))
			}
			return nil
		})
		if err != nil {
			log.Fatal(err)
		}
		if id := resp.Session(); id != "" {
			session = id
		}
	}
	// Output: {"jsonrpc":"2.0","id":2,"result":{"content":[{"type":"text","text":"Hello, Ada!"}]}}
}

// newGreeter returns an SDK server, which knows nothing of the fleet.
func newGreeter() *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "greeter", Version: "1.0.0"}, nil)
	type input struct {
		Name string `json:"name"`
	}
	mcp.AddTool(server, &mcp.Tool{Name: "greet"}, func(_ context.Context, _ *mcp.CallToolRequest, in input) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "Hello, " + in.Name + "!"}}}, nil, nil
	})
	return server
}

// newRedis stands for the Redis of the fleet.
func newRedis() (client rueidis.Client, stop func()) {
	redis, err := miniredis.Run()
	if err != nil {
		log.Fatal(err)
	}
	client, err = rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{redis.Addr()}, DisableCache: true})
	if err != nil {
		log.Fatal(err)
	}
	return client, func() { client.Close(); redis.Close() }
}
