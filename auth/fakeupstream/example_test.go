package fakeupstream_test

import (
	"log"
	"net/http"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/auth/fakeupstream"
	"github.com/mcpfleet/mcpfleet/auth/server"
)

// An authorization server for a demo: nobody needs an account.
func ExampleNew() {
	const base = "http://localhost:3232"
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{"localhost:6379"}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	upstream, err := fakeupstream.New(&fakeupstream.Options{Redis: client, BaseURL: base})
	if err != nil {
		log.Fatal(err)
	}
	as, err := server.New(&server.Options{
		Redis: client, Issuer: base, Resources: []string{base + "/mcp"},
		Upstream: upstream, CallbackPath: fakeupstream.CallbackPath,
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	as.Handle(mux)
	mux.Handle(fakeupstream.AuthorizePath, upstream)
	log.Fatal(http.ListenAndServe("localhost:3232", mux))
}
