//go:build unix

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/sse"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
)

// soakTime is how long the chaos lasts, unless TEST_SOAK says otherwise.
const soakTime = 6 * time.Second

// Processes are killed and frozen at random while clients call, lose their
// connections and resume. Whatever happens, what is promised holds.
func TestChaos(t *testing.T) {
	t.Parallel()
	lasts := soakTime
	if s := os.Getenv("TEST_SOAK"); s != "" {
		d, err := time.ParseDuration(s)
		must(t, err)
		lasts = d
	}
	const clients = 16
	f := startFleet(t, everything, 3)
	run := &soak{failed: make(chan error, clients+3)}
	var sessions [clients]*fleettest.Client
	for i := range sessions {
		sessions[i] = begin(t, f.URL)
	}
	ctx, stop := context.WithTimeout(t.Context(), lasts)
	defer stop()
	var wg sync.WaitGroup
	for _, c := range sessions {
		wg.Go(func() { run.callUntil(ctx, t.Context(), c) })
	}
	for i := range f.processes {
		wg.Go(func() { run.disturb(ctx, f, i) })
	}
	wg.Wait()
	t.Logf("%d kills, %d freezes; %d calls: %d results, %d errors, %d without an event; %d resumes; slowest call %v late",
		run.kills.Load(), run.freezes.Load(), run.calls.Load(), run.results.Load(), run.errors.Load(), run.unknown.Load(),
		run.resumes.Load(), time.Duration(run.latest.Load()).Round(10*time.Millisecond))
	close(run.failed)
	for err := range run.failed {
		t.Error(err)
	}
	for i, c := range sessions {
		for n := range 3 {
			if m := at(c, f.process(n)).CallTool(t, "echo", `{"message":"hi"}`); m.Error != nil {
				t.Errorf("session %d at process %d: %s", i, n, m.Error)
			}
		}
	}
}

type soak struct {
	failed chan error

	kills, freezes                           atomic.Int64
	calls, results, errors, unknown, resumes atomic.Int64
	latest                                   atomic.Int64 // ns behind the time that a call should have taken
}

// disturb kills and freezes the i-th process until ctx ends. It leaves it
// running.
func (s *soak) disturb(ctx context.Context, f *fleet, i int) {
	for ctx.Err() == nil {
		// To find out a dead process takes another one that runs for a while.
		pause(ctx, between(time.Second, 8*time.Second))
		p := f.process(i)
		if rand.IntN(2) == 0 {
			s.kills.Add(1)
			f.kill(p)
			pause(ctx, between(0, 500*time.Millisecond))
			if err := f.replace(i); err != nil {
				s.failed <- err
				return
			}
			continue
		}
		s.freezes.Add(1)
		p.freeze()
		d := between(100*time.Millisecond, 3*time.Second)
		if rand.IntN(5) == 0 {
			d = between(8*time.Second, 20*time.Second) // taken for dead
		}
		pause(ctx, d)
		p.thaw()
	}
}

// callUntil makes call after call until ctx ends; the last one may take longer.
func (s *soak) callUntil(ctx, bound context.Context, c *fleettest.Client) {
	for n := 1; ctx.Err() == nil; n++ {
		o := &soakCall{soak: s, client: c, id: fmt.Sprintf(`"call %d"`, n), steps: 5 + rand.IntN(40)}
		if err := o.run(bound); err != nil {
			s.failed <- fmt.Errorf("session %.8s, %s: %w", c.Session, o.id, err)
			return
		}
	}
}

// A soakCall is one call as a client sees it, over all its connections.
type soakCall struct {
	soak   *soak
	client *fleettest.Client
	id     string // raw
	steps  int

	tries    int    // connections so far
	last     string // the last event's id
	step     int    // the last number
	answered bool
}

// run makes the call and follows it to its end. It fails if a promise is broken.
func (o *soakCall) run(ctx context.Context) error {
	o.soak.calls.Add(1)
	seconds := float64(o.steps) / 20
	due := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	defer func() {
		late := int64(time.Since(due))
		for old := o.soak.latest.Load(); late > old && !o.soak.latest.CompareAndSwap(old, late); old = o.soak.latest.Load() {
		}
	}()
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":"longRunningOperation",`+
		`"arguments":{"duration":%g,"steps":%d},"_meta":{"progressToken":"steps"}}}`, o.id, seconds, o.steps)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	status, err := o.exchange(ctx, http.MethodPost, body)
	if err == nil && status != http.StatusOK && !overloaded(status) {
		return fmt.Errorf("POST: %d", status)
	}
	if o.last == "" && !o.answered {
		o.soak.unknown.Add(1) // the client cannot know whether the call ran
		return err
	}
	for err == nil && !o.answered {
		pause(ctx, between(0, 300*time.Millisecond))
		o.soak.resumes.Add(1)
		status, err = o.exchange(ctx, http.MethodGet, "")
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("no answer after %v; step %d of %d", patience, o.step, o.steps)
		case err == nil && status != http.StatusOK && !overloaded(status):
			return fmt.Errorf("GET behind %s: %d without an answer", o.last, status)
		}
	}
	return err
}

// overloaded reports whether a status is the balancer's, or that of a process
// which cannot serve at the moment.
func overloaded(status int) bool {
	return status == 0 || status == http.StatusBadGateway || status == http.StatusServiceUnavailable
}

// exchange sends a request and reads the events of its response, until the
// connection breaks or the client has had enough of it. It fails if an event
// should not be; the status is 0 if there was no response.
func (o *soakCall) exchange(ctx context.Context, method, body string) (status int, err error) {
	// A frozen process keeps its connections, so a client has to lose patience;
	// but a dead process is found out only while a connection stands for a while.
	o.tries++
	ctx, cancel := context.WithTimeout(ctx, between(0, time.Duration(min(o.tries, 8))*2*time.Second))
	defer cancel()
	res, err := o.client.Do(ctx, method, body, func(h http.Header) {
		if o.last != "" {
			h.Set("Last-Event-ID", o.last)
		}
	})
	if err != nil {
		return 0, nil
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return res.StatusCode, nil
	}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
		var m jsonrpcmsg.Message
		if json.NewDecoder(res.Body).Decode(&m) != nil {
			return res.StatusCode, nil
		}
		return res.StatusCode, o.take(&m)
	}
	for r := bufio.NewReader(res.Body); ; {
		e, err := sse.Read(r)
		if err != nil {
			return res.StatusCode, nil
		}
		if e.ID != "" {
			o.last = e.ID
		}
		if len(e.Data) == 0 {
			continue
		}
		m, err := jsonrpcmsg.Decode(e.Data)
		if err == nil {
			err = o.take(m)
		}
		if err != nil {
			return res.StatusCode, err
		}
	}
}

// take takes the call's next message.
func (o *soakCall) take(m *jsonrpcmsg.Message) error {
	switch {
	case o.answered:
		return fmt.Errorf("a message behind the response: %s%s%s", m.Params, m.Result, m.Error)
	case m.IsNotification():
		var p struct{ Progress int }
		if err := json.Unmarshal(m.Params, &p); err != nil {
			return err
		}
		if p.Progress != o.step+1 {
			return fmt.Errorf("step %d behind step %d", p.Progress, o.step)
		}
		o.step++
		return nil
	case string(m.ID) != o.id:
		return fmt.Errorf("the response is to %s", m.ID)
	}
	o.answered = true
	if m.Error != nil {
		o.soak.errors.Add(1)
		return nil
	}
	o.soak.results.Add(1)
	if o.last != "" && o.step != o.steps {
		return fmt.Errorf("the response follows step %d of %d", o.step, o.steps)
	}
	return nil
}

func between(low, high time.Duration) time.Duration { return low + rand.N(high-low) }

// pause waits as chance has it; nothing depends on how long.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
