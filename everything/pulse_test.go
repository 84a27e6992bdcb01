package everything_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/everything"
)

// recorder is a Notifier that records its calls and their times.
type recorder struct {
	t          *testing.T
	start      time.Time
	subscribed []string
	sent       []string
	logged     []*mcp.LoggingMessageParams
	// notify, if not nil, is what Notify does after it wrote down the call.
	notify func(ctx context.Context, params any) error
	// err, if not nil, is the error of Log and Subscriptions.
	err error
}

func (r *recorder) Notify(ctx context.Context, method string, params any) error {
	r.write("%s %s", method, encode(r.t, params))
	if r.notify != nil {
		return r.notify(ctx, params)
	}
	return nil
}

func (r *recorder) Log(_ context.Context, params *mcp.LoggingMessageParams) error {
	r.write("log")
	r.logged = append(r.logged, params)
	return r.err
}

func (r *recorder) Subscriptions(context.Context) ([]string, error) {
	return r.subscribed, r.err
}

func (r *recorder) write(format string, args ...any) {
	r.sent = append(r.sent, fmt.Sprintf("%v ", time.Since(r.start))+fmt.Sprintf(format, args...))
}

// runPulse runs the pulse of r, in a bubble, for the given time.
func runPulse(t *testing.T, r *recorder, d time.Duration) {
	t.Helper()
	r.start = time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := everything.Pulse(ctx, r); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Pulse returned %v", err)
	}
	if took := time.Since(r.start); took != d {
		t.Errorf("Pulse ran for %v, want %v", took, d)
	}
}

func TestPulseSendsWhatIsDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // bubbles begin at midnight, UTC
		r := &recorder{t: t, subscribed: []string{"test://a", "test://b"}}
		runPulse(t, r, 65*time.Second)
		want := []string{
			`10s notifications/resources/updated {"uri":"test://a"}`,
			`10s notifications/resources/updated {"uri":"test://b"}`,
			`20s notifications/resources/updated {"uri":"test://a"}`,
			`20s notifications/resources/updated {"uri":"test://b"}`,
			`20s log`,
			`30s notifications/resources/updated {"uri":"test://a"}`,
			`30s notifications/resources/updated {"uri":"test://b"}`,
			`30s notifications/stderr {"content":"12:00:30 AM: A stderr message"}`,
			`40s notifications/resources/updated {"uri":"test://a"}`,
			`40s notifications/resources/updated {"uri":"test://b"}`,
			`40s log`,
			`50s notifications/resources/updated {"uri":"test://a"}`,
			`50s notifications/resources/updated {"uri":"test://b"}`,
			`1m0s notifications/resources/updated {"uri":"test://a"}`,
			`1m0s notifications/resources/updated {"uri":"test://b"}`,
			`1m0s log`,
			`1m0s notifications/stderr {"content":"12:01:00 AM: A stderr message"}`,
		}
		if diff := cmp.Diff(want, r.sent); diff != "" {
			t.Errorf("sent (-want +got):\n%s", diff)
		}
	})
}

func TestPulseTellsTheTimeInUTC(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(13*time.Hour + 4*time.Minute + 5*time.Second)
		r := &recorder{t: t}
		runPulse(t, r, 35*time.Second)
		want := []string{
			"20s log",
			`30s notifications/stderr {"content":"01:04:35 PM: A stderr message"}`,
		}
		if diff := cmp.Diff(want, r.sent); diff != "" {
			t.Errorf("sent (-want +got):\n%s", diff)
		}
	})
}

func TestPulseLogsMessagesOfEveryLevel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{t: t}
		runPulse(t, r, 6*time.Hour) // 1,080 messages: all eight are among them
		got := map[string]bool{}
		for _, message := range r.logged {
			got[string(encode(t, message))] = true
		}
		want := map[string]bool{
			`{"data":"Debug-level message","level":"debug"}`:         true,
			`{"data":"Info-level message","level":"info"}`:           true,
			`{"data":"Notice-level message","level":"notice"}`:       true,
			`{"data":"Warning-level message","level":"warning"}`:     true,
			`{"data":"Error-level message","level":"error"}`:         true,
			`{"data":"Critical-level message","level":"critical"}`:   true,
			`{"data":"Alert level-message","level":"alert"}`:         true,
			`{"data":"Emergency-level message","level":"emergency"}`: true,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("messages (-want +got):\n%s", diff)
		}
	})
}

// Subscriptions come and go while a stream is open.
func TestPulseAsksForSubscriptionsEachTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{t: t, subscribed: []string{"test://a"}}
		r.notify = func(context.Context, any) error {
			r.subscribed = []string{"test://b"}
			return nil
		}
		runPulse(t, r, 25*time.Second)
		want := []string{
			`10s notifications/resources/updated {"uri":"test://a"}`,
			`20s notifications/resources/updated {"uri":"test://b"}`,
			`20s log`,
		}
		if diff := cmp.Diff(want, r.sent); diff != "" {
			t.Errorf("sent (-want +got):\n%s", diff)
		}
	})
}

func TestFailuresDoNotEndAPulse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{
			t:          t,
			subscribed: []string{"test://a", "test://b"},
			notify:     func(context.Context, any) error { return errors.New("broken pipe") },
		}
		runPulse(t, r, 35*time.Second)
		if len(r.sent) != 3*2+1+1 {
			t.Errorf("%d attempts, want 8: %q", len(r.sent), r.sent)
		}

		r = &recorder{t: t, err: errors.New("Redis is away")}
		runPulse(t, r, 61*time.Second)
		want := []string{
			"20s log",
			`30s notifications/stderr {"content":"12:01:05 AM: A stderr message"}`,
			"40s log",
			"1m0s log",
			`1m0s notifications/stderr {"content":"12:01:35 AM: A stderr message"}`,
		}
		if diff := cmp.Diff(want, r.sent); diff != "" {
			t.Errorf("sent (-want +got):\n%s", diff)
		}
	})
}

// A notification that hangs costs what is due at that time, not the pulse.
func TestHangingNotificationsAreGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{t: t, subscribed: []string{"test://a"}}
		hang := true
		r.notify = func(ctx context.Context, _ any) error {
			if !hang {
				return nil
			}
			hang = false
			<-ctx.Done()
			return ctx.Err()
		}
		runPulse(t, r, 35*time.Second)
		want := []string{
			`10s notifications/resources/updated {"uri":"test://a"}`, // hangs until 20s
			`20s notifications/resources/updated {"uri":"test://a"}`,
			`20s log`,
			`30s notifications/resources/updated {"uri":"test://a"}`,
			`30s notifications/stderr {"content":"12:00:30 AM: A stderr message"}`,
		}
		if diff := cmp.Diff(want, r.sent); diff != "" {
			t.Errorf("sent (-want +got):\n%s", diff)
		}
	})
}

func TestPulseEndsWithItsContextAlsoWhileSending(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("the stream has left this instance")
		ctx, cancel := context.WithCancelCause(t.Context())
		r := &recorder{t: t, start: time.Now(), subscribed: []string{"test://a"}}
		r.notify = func(ctx context.Context, _ any) error {
			<-ctx.Done()
			return ctx.Err()
		}
		ended := make(chan error, 1)
		go func() { ended <- everything.Pulse(ctx, r) }()
		time.Sleep(15 * time.Second)
		cancel(cause)
		synctest.Wait()
		select {
		case err := <-ended:
			if !errors.Is(err, cause) {
				t.Errorf("Pulse returned %v, want the cause", err)
			}
		default:
			t.Error("Pulse goes on")
		}
		if len(r.sent) != 1 {
			t.Errorf("sent %q", r.sent)
		}
	})
}
