package everything_test

import (
	"context"
	"fmt"
	"log"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/everything"
)

// The server is an ordinary server of the SDK: connect it to any transport.
func ExampleNew() {
	ctx := context.Background()
	server := everything.New(nil)
	clientEnd, serverEnd := mcp.NewInMemoryTransports()
	if _, err := server.Connect(ctx, serverEnd, nil); err != nil {
		log.Fatal(err)
	}

	client := mcp.NewClient(&mcp.Implementation{Name: "example", Version: "1.0.0"}, nil)
	session, err := client.Connect(ctx, clientEnd, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()

	res, err := session.CallTool(ctx, &mcp.CallToolParams{
		Name:      "add",
		Arguments: map[string]any{"a": 0.1, "b": 0.2},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, content := range res.Content {
		fmt.Println(content.(*mcp.TextContent).Text)
	}
	// Output: The sum of 0.1 and 0.2 is 0.30000000000000004.
}
