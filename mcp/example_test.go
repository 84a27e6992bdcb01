package mcp_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/alicebob/miniredis/v2"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/redis/rueidis"

	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// Two instances serve one session: the client's requests go to one and the
// other in turns, and it sees one server.
func ExampleNewHandler() {
	ctx := context.Background()
	redis := miniredis.NewMiniRedis() // a real one in production
	if err := redis.Start(); err != nil {
		log.Fatal(err)
	}
	defer redis.Close()

	newInstance := func() *fleet.Handler {
		client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{redis.Addr()}, DisableCache: true})
		if err != nil {
			log.Fatal(err)
		}
		server := newGreeter()
		handler, err := fleet.NewHandler(func(*http.Request) *mcp.Server { return server }, &fleet.Options{Redis: client})
		if err != nil {
			log.Fatal(err)
		}
		return handler
	}
	instances := []*fleet.Handler{newInstance(), newInstance()}

	turn := 0
	balancer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		turn++
		instances[turn%2].ServeHTTP(w, r)
	}))
	defer balancer.Close()

	client := mcp.NewClient(&mcp.Implementation{Name: "example", Version: "1.0.0"}, nil)
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: balancer.URL, DisableStandaloneSSE: true}, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"Ada", "Grace"} {
		result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "greet", Arguments: map[string]any{"name": name}})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(result.Content[0].(*mcp.TextContent).Text)
	}
	if err := session.Close(); err != nil {
		log.Fatal(err)
	}
	for _, instance := range instances {
		if err := instance.Shutdown(ctx); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// Hello, Ada!
	// Hello, Grace!
}

func newGreeter() *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "greeter", Version: "1.0.0"}, nil)
	type input struct {
		Name string `json:"name"`
	}
	mcp.AddTool(server, &mcp.Tool{Name: "greet", Description: "Greets somebody"},
		func(_ context.Context, _ *mcp.CallToolRequest, in input) (*mcp.CallToolResult, any, error) {
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "Hello, " + in.Name + "!"}}}, nil, nil
		})
	return server
}

// A background process that serves no requests tells the clients of all instances
// that something has changed.
func ExampleNewNotifier() {
	ctx := context.Background()
	redis := miniredis.NewMiniRedis() // a real one in production
	if err := redis.Start(); err != nil {
		log.Fatal(err)
	}
	defer redis.Close()
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{redis.Addr()}, DisableCache: true})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	// One instance of the fleet, and a client that is connected to it.
	server := newGreeter()
	handler, err := fleet.NewHandler(func(*http.Request) *mcp.Server { return server }, &fleet.Options{Redis: client})
	if err != nil {
		log.Fatal(err)
	}
	instance := httptest.NewServer(handler)
	defer instance.Close()
	changed := make(chan struct{}, 1)
	session, err := mcp.NewClient(&mcp.Implementation{Name: "example", Version: "1.0.0"}, &mcp.ClientOptions{
		ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) {
			select {
			case changed <- struct{}{}:
			default: // a change is announced at least once
			}
		},
	}).Connect(ctx, &mcp.StreamableClientTransport{Endpoint: instance.URL}, &mcp.ClientSessionOptions{ProtocolVersion: "2025-11-25"})
	if err != nil {
		log.Fatal(err)
	}

	// The background process needs the fleet's Redis and nothing else.
	notifier, err := fleet.NewNotifier(&fleet.NotifierOptions{Redis: client})
	if err != nil {
		log.Fatal(err)
	}
	if err := notifier.ToolsChanged(ctx); err != nil {
		log.Fatal(err)
	}
	<-changed
	fmt.Println("the client knows that the tools have changed")
	if err := session.Close(); err != nil {
		log.Fatal(err)
	}
	if err := handler.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: the client knows that the tools have changed
}
