package sessionstore_test

import (
	"context"
	"fmt"
	"log"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// newClient stands for the client of your Redis.
func newClient() (client rueidis.Client, stop func()) {
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

func ExampleNewStore() {
	client, stop := newClient()
	defer stop()
	ctx := context.Background()

	store, err := sessionstore.NewStore(client, &sessionstore.Options{Prefix: "example"})
	if err != nil {
		log.Fatal(err)
	}
	created, err := store.Create(ctx, sessionstore.Record{Owner: "alice", ProtocolVersion: "2025-11-25"})
	if err != nil {
		log.Fatal(err)
	}

	// Any instance, also one that started later, finds the session by its id.
	found, err := store.Load(ctx, created.ID)
	fmt.Println(found.Owner, found.ProtocolVersion, err)

	if err := store.Delete(ctx, created.ID); err != nil {
		log.Fatal(err)
	}
	_, err = store.Load(ctx, created.ID)
	fmt.Println(err)
	// Output:
	// alice 2025-11-25 <nil>
	// session not found
}

func ExampleNewValues() {
	client, stop := newClient()
	defer stop()
	ctx := context.Background()
	store, err := sessionstore.NewStore(client, nil)
	if err != nil {
		log.Fatal(err)
	}
	current, err := store.Create(ctx, sessionstore.Record{})
	if err != nil {
		log.Fatal(err)
	}

	// What a tool would have kept in a map from session ids to carts. In its
	// handler the id is req.Session.ID().
	type Cart struct{ Items []string }
	carts := sessionstore.NewValues[Cart](store, "cart")

	for _, item := range []string{"tea", "milk"} {
		_, err := carts.Update(ctx, current.ID, func(c Cart) (Cart, error) {
			c.Items = append(c.Items, item)
			return c, nil
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	cart, version, err := carts.Get(ctx, current.ID)
	fmt.Println(cart.Items, version, err)
	// Output: [tea milk] 2 <nil>
}
