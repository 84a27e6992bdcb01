package mcp_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/redis/rueidis"

	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// serve serves the handler until ctx ends, which in a program is
//
//	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
//
// and then stops without losing a response, and without refusing a request.
//
// For listenFor a balancer that checks readiness can notice that it fails. Then
// the listener closes, for balancers that do not check: they notice a refused
// connection. What is on its way by then is served as well if Options.DrainDelay
// is a second longer.
func serve(ctx context.Context, listener net.Listener, handler *fleet.Handler, listenFor time.Duration) error {
	mux := http.NewServeMux()
	mux.Handle("/mcp", handler)
	mux.Handle("GET /livez", handler.Livez())
	mux.Handle("GET /readyz", handler.Readyz())
	server := &http.Server{
		Handler: mux,
		// No WriteTimeout: streams stay open for hours, and the handler bounds each write.
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       2 * time.Minute,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	// Less than the time after which an orchestrator kills, often 30 seconds.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 25*time.Second)
	defer cancel()
	left := make(chan error, 1)
	go func() { left <- handler.Shutdown(ctx) }() // it serves on for Options.DrainDelay
	time.Sleep(listenFor)
	_ = listener.Close() // the server does not need it any more
	// The server last: it would wait for streams, which only the handler can end,
	// and drop requests that it has not read yet.
	err := errors.Join(<-left, server.Shutdown(ctx))
	<-served
	return err
}

// An instance is stopped while a client has a stream open.
func ExampleHandler_Shutdown() {
	redis := miniredis.NewMiniRedis() // a real one in production
	if err := redis.Start(); err != nil {
		log.Fatal(err)
	}
	defer redis.Close()
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{redis.Addr()}, DisableCache: true})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()                    // after the handler, which is done with it then
	const listenFor = 10 * time.Millisecond // 5 seconds in production
	server := newGreeter()
	handler, err := fleet.NewHandler(func(*http.Request) *mcp.Server { return server }, &fleet.Options{
		Redis: client, DrainDelay: listenFor + time.Second,
	})
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}

	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- serve(ctx, listener, handler, listenFor) }()
	transport := &mcp.StreamableClientTransport{Endpoint: "http://" + listener.Addr().String() + "/mcp"}
	session, err := mcp.NewClient(&mcp.Implementation{Name: "example", Version: "1.0.0"}, nil).
		Connect(context.Background(), transport, &mcp.ClientSessionOptions{ProtocolVersion: "2025-11-25"})
	if err != nil {
		log.Fatal(err)
	}
	stop()
	fmt.Println("stopped:", <-stopped)
	_ = session.Close() // there is nobody left to tell
	// Output: stopped: <nil>
}
