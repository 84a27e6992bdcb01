package transport_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http/httptest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/session"
	"github.com/mcpfleet/mcpfleet/transport"
)

// A node runs the requests of any session on any SDK server. What package mcp
// of mcpfleet adds is HTTP.
func ExampleNewNode() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output: {"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"Hello, Gopher!"}]}}
}

func run(ctx context.Context) error {
	redis, err := miniredis.Run() // in production a Redis that all instances share
	if err != nil {
		return err
	}
	defer redis.Close()
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{redis.Addr()}, DisableCache: true})
	if err != nil {
		return err
	}
	defer client.Close()
	store, err := session.NewStore(client, nil)
	if err != nil {
		return err
	}
	node, err := transport.NewNode(ctx, client, store, nil)
	if err != nil {
		return err
	}
	defer node.Close(ctx)

	// A client has initialized a session, on this or another instance.
	client2025 := &mcp.InitializeParams{ProtocolVersion: "2025-11-25", Capabilities: &mcp.ClientCapabilities{}, ClientInfo: &mcp.Implementation{Name: "client", Version: "1"}}
	params, err := json.Marshal(client2025)
	if err != nil {
		return err
	}
	record, err := store.Create(ctx, session.Record{InitializeParams: params, ProtocolVersion: "2025-11-25", Initialized: true})
	if err != nil {
		return err
	}

	// A request of that session arrives here.
	message, err := transport.DecodeMessage([]byte(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"greet","arguments":{"name":"Gopher"}}}`))
	if err != nil {
		return err
	}
	conn, err := node.Accept(transport.Request{Session: record.ID, Message: message, Client: client2025.Capabilities})
	if err != nil {
		return err
	}
	state := &mcp.ServerSessionState{InitializeParams: client2025, InitializedParams: &mcp.InitializedParams{}, NegotiatedProtocolVersion: record.ProtocolVersion}
	if _, err := greeter().Connect(conn.Context(ctx), conn, &mcp.ServerSessionOptions{State: state}); err != nil {
		return err
	}
	select {
	case answer := <-conn.Answer():
		fmt.Println(string(answer.Body))
		return answer.Err
	case reader := <-conn.Stream():
		// The handler has said something before its result: reader.Serve sends
		// it all as server-sent events.
		reader.Release(ctx)
		return fmt.Errorf("the reply is a stream")
	}
}

// greeter is any SDK server: it knows nothing of the fleet.
func greeter() *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "greeter", Version: "1"}, nil)
	type args struct {
		Name string `json:"name"`
	}
	mcp.AddTool(server, &mcp.Tool{Name: "greet"}, func(_ context.Context, _ *mcp.CallToolRequest, a args) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "Hello, " + a.Name + "!"}}}, nil, nil
	})
	return server
}

// A process that is no node says what has changed. Every node hears it, and every
// stream that wants it.
func ExampleNewPublisher() {
	redis, err := miniredis.Run() // in production the fleet's
	if err != nil {
		log.Fatal(err)
	}
	defer redis.Close()
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{redis.Addr()}, DisableCache: true})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	publisher, err := transport.NewPublisher(client, "", 0) // prefix "mcp", 2 seconds for each call to Redis
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	fmt.Println(publisher.ResourceUpdated(ctx, "file:///report"))
	fmt.Println(publisher.ListChanged(ctx, "tools"))
	// Output:
	// <nil>
	// <nil>
}

func ExampleNewSSEWriter() {
	response := httptest.NewRecorder() // in a handler, its http.ResponseWriter
	w := transport.NewSSEWriter(response, 10*time.Second)
	if err := w.Start(); err != nil {
		log.Fatal(err)
	}
	if err := w.Write(transport.SSE{ID: "1", Data: []byte(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(response.Header().Get("Content-Type"))
	fmt.Print(response.Body)
	// Output:
	// text/event-stream
	// id: 1
	// data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}
}
