package mcp_test

import (
	"context"
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// BenchmarkFanOut compares what an update costs that n streams on this machine
// get, all in this process and without sockets:
//
//   - fleet: two instances and a real Redis, sessions with standalone streams
//   - listeners: the same, subscriptions/listen
//   - sdk: the SDK's stateful handler and Server.ResourceUpdated
//
// cpu-µs/event is the CPU time of the process for each event delivered, ns/op
// the time until the last stream has it.
//
//	go test ./mcp -run '^$' -bench BenchmarkFanOut -benchtime 50x
func BenchmarkFanOut(b *testing.B) {
	for _, streams := range []int{1, 100, 1000, 10_000} {
		for _, kind := range []string{"fleet", "listeners", "sdk"} {
			b.Run(fmt.Sprintf("%s/streams=%d", kind, streams), func(b *testing.B) { benchmarkFanOut(b, kind, streams) })
		}
	}
}

func benchmarkFanOut(b *testing.B, kind string, streams int) {
	var a *audience
	var publish func(context.Context) error
	switch kind {
	case "sdk":
		server := newsRig().server()
		a = newAudience(b, mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil))
		publish = func(ctx context.Context) error {
			return server.ResourceUpdated(ctx, &mcp.ResourceUpdatedNotificationParams{URI: "news://a"})
		}
	default:
		f := fleettest.Start(b, fleettest.Config{
			Redis: redistest.Real(b), Instances: 2, Server: newsRig().server,
			Options: func(o *fleet.Options) { o.SessionTTL = time.Hour },
		})
		a = newAudience(b, handlersOf(f)...)
		publish = func(ctx context.Context) error { return f.Instances[0].Handler.ResourceUpdated(ctx, "news://a") }
	}
	if kind == "listeners" {
		a.listen(b, streams, "news://a")
	} else {
		a.join(b, streams, "news://a")
	}
	received := 0
	update := func() {
		must(b, publish(b.Context()))
		received++
		a.receive(b, received)
	}
	update()
	cpu := ownCPU(b)
	for b.Loop() {
		update()
	}
	b.ReportMetric(float64((ownCPU(b)-cpu).Microseconds())/float64(b.N*streams), "cpu-µs/event")
}

func ownCPU(b *testing.B) time.Duration {
	var use syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &use))
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
