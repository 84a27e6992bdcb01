package session_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/alicebob/miniredis/v2"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/redis/rueidis"

	fleet "github.com/mcpfleet/mcpfleet/mcp"
	"github.com/mcpfleet/mcpfleet/session"
)

type Cart struct{ Items []string }

// A tool keeps a cart for each session. The instance that serves the next
// request of the session finds it, whichever that is.
func ExampleNewValues() {
	ctx := context.Background()
	redis, stop := newRedis()
	defer stop()
	first, second := newShop(redis), newShop(redis)
	defer first.Shutdown(ctx)
	defer second.Shutdown(ctx)

	instances, turn := []http.Handler{first, second}, 0
	balancer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		turn++
		instances[turn%2].ServeHTTP(w, r)
	}))
	defer balancer.Close()

	client := connect(ctx, balancer.URL)
	for _, item := range []string{"tea", "milk", "sugar"} {
		result, err := client.CallTool(ctx, &mcp.CallToolParams{Name: "add", Arguments: map[string]any{"item": item}})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(result.Content[0].(*mcp.TextContent).Text)
	}
	// Output:
	// in your cart: tea
	// in your cart: tea, milk
	// in your cart: tea, milk, sugar
}

// newShop returns an instance whose tool adds an item to the session's cart.
func newShop(redis rueidis.Client) *fleet.Handler {
	server := mcp.NewServer(&mcp.Implementation{Name: "shop", Version: "1.0.0"}, nil)
	handler, err := fleet.NewHandler(func(*http.Request) *mcp.Server { return server }, &fleet.Options{Redis: redis})
	if err != nil {
		log.Fatal(err)
	}
	carts := session.NewValues[Cart](handler.Sessions(), "cart")

	type input struct {
		Item string `json:"item"`
	}
	mcp.AddTool(server, &mcp.Tool{Name: "add"}, func(ctx context.Context, req *mcp.CallToolRequest, in input) (*mcp.CallToolResult, any, error) {
		cart, err := carts.Update(ctx, req.Session.ID(), func(c Cart) (Cart, error) {
			c.Items = append(c.Items, in.Item)
			return c, nil
		})
		if err != nil {
			return nil, nil, err
		}
		text := "in your cart: " + strings.Join(cart.Items, ", ")
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}, nil, nil
	})
	return handler
}

// An operator's program, which serves no sessions, looks at one and ends it.
func ExampleNewStore() {
	ctx := context.Background()
	redis, stop := newRedis()
	defer stop()
	handler := newShop(redis)
	defer handler.Shutdown(ctx)
	instance := httptest.NewServer(handler)
	defer instance.Close()
	id := connect(ctx, instance.URL).ID()

	sessions, err := session.NewStore(&session.Options{Redis: redis}) // of the fleet with the prefix "mcp"
	if err != nil {
		log.Fatal(err)
	}
	found, err := sessions.LoadFresh(ctx, id)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("protocol:", found.ProtocolVersion)
	if err := sessions.Delete(ctx, id); err != nil {
		log.Fatal(err)
	}
	_, err = sessions.LoadFresh(ctx, id)
	fmt.Println(err)
	// Output:
	// protocol: 2025-11-25
	// session not found
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

func connect(ctx context.Context, url string) *mcp.ClientSession {
	client, err := mcp.NewClient(&mcp.Implementation{Name: "example", Version: "1.0.0"}, nil).Connect(ctx,
		&mcp.StreamableClientTransport{Endpoint: url, DisableStandaloneSSE: true},
		&mcp.ClientSessionOptions{ProtocolVersion: "2025-11-25"})
	if err != nil {
		log.Fatal(err)
	}
	return client
}
