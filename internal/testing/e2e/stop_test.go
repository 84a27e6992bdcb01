//go:build unix

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
)

func TestTerminatedProcessFinishesItsCalls(t *testing.T) {
	t.Parallel()
	f := startFleet(t, everything, 2)
	leaving, other := f.process(0), f.process(1)
	client := begin(t, leaving.URL)
	events := client.Get(t, "")
	call := startOperation(t, client, 2, 20)
	leaving.terminate()

	for want := 2; want <= 20; want++ {
		if got := step(t, call.Message(t)); got != want {
			t.Fatalf("step %d, want %d", got, want)
		}
	}
	if m := call.Message(t); m.Result == nil || string(m.ID) != operationID {
		t.Errorf("the call ended with id %s, error %s", m.ID, m.Error)
	}
	// The standalone stream ends in order, and goes on elsewhere.
	for _, e := range receive(t, collect(events)) {
		if e.Name == "error" {
			t.Errorf("the stream broke: %s", e.Data)
		}
	}
	if again := at(client, other).Get(t, events.Last); again.StatusCode != http.StatusOK {
		t.Errorf("the stream elsewhere: %s", again.Status)
	}
	if status, err := leaving.wait(); status != 0 || err != nil {
		t.Errorf("the process ended with status %d, %v", status, err)
	}
	if m := at(client, other).CallTool(t, "echo", `{"message":"hi"}`); m.Error != nil {
		t.Errorf("a call elsewhere: %s", m.Error)
	}
}

func TestRollingRestartLosesNoSessionAndNoCall(t *testing.T) {
	t.Parallel()
	const clients = 8
	f := startFleet(t, everything, 3)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var calls, retries atomic.Int64
	var streams [clients]atomic.Int64 // standalone streams that a client has had
	failed := make(chan error, clients)
	var wg sync.WaitGroup
	for n := range clients {
		cs := f.connect(t, nil, func(res *http.Response) {
			if res.Request.Method == http.MethodGet && res.StatusCode == http.StatusOK {
				streams[n].Add(1)
			}
		})
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				tries, err := persist(func() error { return echo(t, cs, fmt.Sprint(n, "/", i)) })
				if err != nil {
					failed <- err
					return
				}
				calls.Add(1)
				retries.Add(int64(tries - 1))
			}
		})
	}
	for i := range 3 {
		old := f.process(i)
		old.terminate()
		if status, err := old.wait(); status != 0 || err != nil {
			t.Errorf("process %d ended with status %d, %v", i, status, err)
		}
		must(t, f.replace(i))
		so := calls.Load()
		until(t, "calls go on", func() bool { return calls.Load() >= so+clients })
	}
	// The process that had a client's stream is gone, so there must be another.
	for n := range clients {
		until(t, "the client's stream has been resumed", func() bool { return streams[n].Load() >= 2 })
	}
	stop()
	wg.Wait()
	t.Logf("%d calls, %d tried again", calls.Load(), retries.Load())
	select {
	case err := <-failed:
		t.Error(err)
	default:
	}
}

// maxTries is how often a client tries again that reached a process which was
// about to leave.
const maxTries = 5

// persist calls f until it succeeds or fails for good, and returns how often.
func persist(f func() error) (tries int, err error) {
	for tries = 1; ; tries++ {
		err = f()
		if err == nil || tries == maxTries || !passing(err) {
			return tries, err
		}
		time.Sleep(50 * time.Millisecond) // as a client would
	}
}

// passing reports whether an error is of the kind that a retry heals: the
// connection broke before there was an answer, or that was 502 or 503. The
// go-sdk client calls all of these rejected by its transport.
func passing(err error) bool {
	const rejected = -32005
	wire, ok := errors.AsType[*jsonrpc.Error](err)
	return ok && wire.Code == rejected
}
