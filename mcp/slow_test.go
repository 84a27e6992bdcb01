package mcp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// hugeRig adds to the rig's tools:
//
//	huge  waits if it has a name, as wait does, and says size letters
func hugeRig() *rig {
	r := newRig(nil)
	r.more = func(s *mcp.Server) {
		tool(s, "huge", func(ctx context.Context, _ *mcp.CallToolRequest, a toolArguments) (string, error) {
			if a.Name != "" {
				r.entered <- a.Name
				<-r.gate(a.Name)
			}
			return strings.Repeat("x", a.Size), nil
		})
	}
	return r
}

// readAt reads a body at a rate, in bytes a second, and returns how much came.
func readAt(body io.Reader, rate int) (n int64, err error) {
	for {
		got, err := io.CopyN(io.Discard, body, int64(rate/10))
		n += got
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

const hugeSize = 14 << 20

// hugeResponses are the ways in which a huge result comes to a client.
var hugeResponses = map[string]func(t *testing.T, s *simulation) io.Reader{
	"JSON": func(t *testing.T, s *simulation) io.Reader {
		return s.session(t).Post(t, hugeCall("")).Body
	},
	"an event": func(t *testing.T, s *simulation) io.Reader {
		return s.session(t).Post(t, hugeCallThatWaits(s, "event")).Body
	},
	"a resumed event": func(t *testing.T, s *simulation) io.Reader {
		c := s.session(t)
		stream := fleettest.NewStream(c.Post(t, hugeCallThatWaits(s, "resumed")))
		_, err := stream.Next()
		must(t, err)
		stream.Close()
		time.Sleep(time.Minute)
		return c.Get(t, stream.Last).Body
	},
	"a batch": func(t *testing.T, s *simulation) io.Reader {
		return s.batching(t).Post(t, array(hugeCall(""))).Body
	},
	"a batch on a stream": func(t *testing.T, s *simulation) io.Reader {
		return s.batching(t).Post(t, array(hugeCallThatWaits(s, "batch"))).Body
	},
	"an SSE session": func(t *testing.T, s *simulation) io.Reader {
		c := s.sse(t, 0, "")
		c.stream.Close()
		raw := at(s.client(t), s.instances[0].url+"sse").Get(t, "")
		first, err := raw.Next()
		must(t, err)
		d := at(c.Client, s.instances[1].url+string(first.Data)[1:])
		accepts(t, d, strings.Replace(initializeBody, "2025-11-25", "2024-11-05", 1))
		_, err = raw.Next()
		must(t, err)
		accepts(t, d, hugeCall(""))
		return raw.Rest()
	},
	"JSON of 2026-07-28": func(t *testing.T, s *simulation) io.Reader {
		return statelessCall(t, s.stateless(t), "huge", fmt.Sprintf(`{"size":%d}`, hugeSize)).Body
	},
	"an event of 2026-07-28": func(t *testing.T, s *simulation) io.Reader {
		s.openLater("stateless")
		return statelessCall(t, s.stateless(t), "huge", fmt.Sprintf(`{"size":%d,"name":"stateless"}`, hugeSize)).Body
	},
}

func hugeCall(name string) string {
	return fleettest.Request(1, "tools/call", fmt.Sprintf(`{"name":"huge","arguments":{"size":%d,"name":%q}}`, hugeSize, name))
}

// hugeCallThatWaits is a call that takes so long that its response is a stream.
func hugeCallThatWaits(s *simulation, name string) string {
	s.openLater(name)
	return hugeCall(name)
}

func (s *simulation) openLater(name string) {
	time.AfterFunc(5*time.Second, func() { s.open(name) })
}

func simulateHuge(t *testing.T, f func(t *testing.T, s *simulation, body io.Reader)) {
	for name, response := range hugeResponses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, simulated{rig: hugeRig(), wrap: withSSE}, func(t *testing.T, s *simulation) { f(t, s, response(t, s)) })
		})
	}
}

// Not how long a response takes is what cuts a client, but how slowly it reads.
func TestASlowReaderGetsAllOfALargeResult(t *testing.T) {
	t.Parallel()
	simulateHuge(t, func(t *testing.T, s *simulation, body io.Reader) {
		time.AfterFunc(5*time.Minute, func() { // streams of sessions do not end
			for _, i := range s.instances {
				_ = i.handler.Shutdown(context.Background())
			}
		})
		if n, err := readAt(body, 100_000); n < hugeSize || err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %d bytes of %d, %v", n, hugeSize, err)
		}
	})
}

func TestAReaderThatIsTooSlowIsCut(t *testing.T) {
	t.Parallel()
	simulateHuge(t, func(t *testing.T, s *simulation, body io.Reader) {
		begun := time.Now()
		n, err := readAt(body, 20_000) // Options.MinWriteRate is 64 KiB
		if took := time.Since(begun); err == nil || n > 1<<20 || took > time.Minute {
			t.Errorf("got %d bytes of %d after %v, %v", n, hugeSize, took, err)
		}
	})
}

func TestAReaderThatDoesNotReadIsCut(t *testing.T) {
	t.Parallel()
	simulateHuge(t, func(t *testing.T, s *simulation, body io.Reader) {
		time.Sleep(30 * time.Second) // 5 until it begins, 10 without anything read, 10 for the rest of what was
		begun := time.Now()
		if n, err := io.Copy(io.Discard, body); err == nil || n > 1<<20 || time.Since(begun) > 0 {
			t.Errorf("got %d bytes of %d after %v more, %v", n, hugeSize, time.Since(begun), err)
		}
	})
}

// What a client has read faster than it must does not buy it an hour of rest.
func TestAReaderThatStopsIsCut(t *testing.T) {
	t.Parallel()
	simulateHuge(t, func(t *testing.T, s *simulation, body io.Reader) {
		_, err := io.CopyN(io.Discard, body, 8<<20)
		must(t, err)
		time.Sleep(time.Minute)
		if n, err := io.Copy(io.Discard, body); err == nil || n > 1<<20 {
			t.Errorf("got %d more bytes, %v", n, err)
		}
	})
}

func TestMinWriteRate(t *testing.T) {
	t.Parallel()
	slow := simulated{rig: hugeRig(), options: func(o *fleet.Options) { o.MinWriteRate = 10_000 }}
	simulate(t, slow, func(t *testing.T, s *simulation) {
		res := s.session(t).Post(t, hugeCall(""))
		if n, err := readAt(res.Body, 20_000); n < hugeSize || err != nil {
			t.Errorf("got %d bytes of %d, %v", n, hugeSize, err)
		}
	})
}

// Shutdown waits for calls, not for who reads their results slowly: to cut those off
// is up to the HTTP server.
func TestShutdownDoesNotWaitForSlowReaders(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"JSON", "JSON of 2026-07-28", "an event of 2026-07-28"} { // the others can be resumed elsewhere
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, simulated{rig: hugeRig()}, func(t *testing.T, s *simulation) {
				body := hugeResponses[name](t, s)
				read := make(chan int64, 1)
				go func() {
					n, _ := readAt(body, 100_000)
					read <- n
				}()
				time.Sleep(time.Second)
				begun := time.Now()
				for _, i := range s.instances {
					must(t, i.handler.Shutdown(t.Context()))
				}
				if took := time.Since(begun); took > 30*time.Second {
					t.Errorf("it took %v", took)
				}
				if n := <-read; n < hugeSize {
					t.Errorf("%d bytes of %d were read", n, hugeSize)
				}
			})
		})
	}
}
