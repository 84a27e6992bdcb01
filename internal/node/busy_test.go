package node

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/pace"
	"github.com/mcpfleet/mcpfleet/internal/sse"
)

// A slowResponse takes a second for each write.
type slowResponse struct{ header http.Header }

func (s slowResponse) Header() http.Header { return s.header }
func (s slowResponse) WriteHeader(int)     {}
func (s slowResponse) Flush()              {}
func (s slowResponse) Write(b []byte) (int, error) {
	time.Sleep(time.Second)
	return len(b), nil
}

// A stream ends with its token also if there is always something to send: the
// client reads more slowly than news come.
func TestAStreamThatIsNeverQuietEndsWithItsContext(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T, f *fleet) func(context.Context, *sse.Writer) error{
		"standalone stream": func(t *testing.T, f *fleet) func(context.Context, *sse.Writer) error {
			r, err := f.nodes[0].Resume(t.Context(), f.begin(t, announcesAll, "a:b"), nil)
			if err != nil {
				t.Fatal(err)
			}
			return func(ctx context.Context, w *sse.Writer) error {
				defer r.Release(ctx)
				return r.Serve(ctx, w, serveOptions)
			}
		},
		"listener": func(t *testing.T, f *fleet) func(context.Context, *sse.Writer) error {
			l, err := f.nodes[0].Listen(json.RawMessage(`7`), Filter{URIs: []string{"a:b"}})
			if err != nil {
				t.Fatal(err)
			}
			return func(ctx context.Context, w *sse.Writer) error {
				defer l.Close()
				return l.Serve(ctx, w, serveOptions.KeepAlive)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newBubbleFleet(t, Options{}, time.Hour)
				serve := open(t, f)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				over := make(chan struct{})
				go func() {
					defer close(over)
					_ = serve(ctx, sse.NewWriter(slowResponse{http.Header{}}, pace.Limits{Timeout: 10 * time.Second}))
				}()
				for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(100 * time.Millisecond) {
					f.updated(t, "a:b")
				}
				select {
				case <-over:
				default:
					t.Error("it goes on")
				}
			})
		})
	}
}
