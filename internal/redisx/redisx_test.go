package redisx

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

var errMine = errors.New("mine")

// Each call has the client's bound and neither the deadline nor the
// cancellation of its context: a request that ended must not leave a write
// half-way.
func TestEveryCallHasTheClientsBound(t *testing.T) {
	t.Parallel()
	calls := map[string]func(ctx context.Context, c Client) error{
		"Do": func(ctx context.Context, c Client) error {
			return c.Do(ctx, c.B().Get().Key("k").Build()).Error()
		},
		"DoMulti": func(ctx context.Context, c Client) error {
			return c.DoMulti(ctx, c.B().Get().Key("k").Build(), c.B().Set().Key("k").Value("v").Build())[1].Error()
		},
		"DoCache": func(ctx context.Context, c Client) error {
			return c.DoCache(ctx, c.B().Get().Key("k").Cache(), time.Minute).Error()
		},
		"Exec": func(ctx context.Context, c Client) error {
			_, err := NewScript("test", "return 1").Exec(ctx, c, []string{"k"})
			return err
		},
		"Exec, repeatable": func(ctx context.Context, c Client) error {
			_, err := NewRepeatableScript("test", "return 1").Exec(ctx, c, []string{"k"})
			return err
		},
	}
	for name, call := range calls {
		synctest.Test(t, func(t *testing.T) {
			link := redistest.NewBubble(t).Link()
			c := New(link.Client(t), 3*time.Second)
			gone, cancel := context.WithCancelCause(t.Context())
			cancel(errMine)
			if err := call(gone, c); err != nil && !rueidis.IsRedisNil(err) {
				t.Errorf("%s with a context that is done: %v", name, err)
			}
			link.Freeze()
			start := time.Now()
			if err := call(t.Context(), c); err == nil {
				t.Errorf("%s succeeded over a frozen link", name)
			}
			if took := time.Since(start); took != 3*time.Second {
				t.Errorf("%s took %v, want 3s", name, took)
			}
		})
	}
}

func TestAFailedScriptIsUnavailableAndNamed(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c := New(s.Client(t), 0)
		_, err := NewScript("break things", "return redis.call('NOSUCHCOMMAND', KEYS[1])").Exec(t.Context(), c, []string{"k"})
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("error %v", err)
		}
		msg, err := NewScript("nothing", "return false").Exec(t.Context(), c, []string{"k"})
		if err != nil || !msg.IsNil() {
			t.Errorf("nil is %v, %v", msg.String(), err)
		}
	})
}

func TestALazyBoundCountsFromTheCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		parent, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "v"))
		cancel()
		cmd := New(redistest.NewBubble(t).Client(t), 0).B().Get().Key("k").Cache()

		l := &lazyBound{parent: parent, deadline: time.Now().Add(time.Second), cmd: cmd, presence: &presence{}}
		time.Sleep(400 * time.Millisecond)
		if l.Err() != nil || l.Value(key{}) != "v" {
			t.Errorf("error %v, value %v", l.Err(), l.Value(key{}))
		}
		if at, ok := l.Deadline(); !ok || time.Until(at) != 600*time.Millisecond {
			t.Errorf("deadline in %v", time.Until(at))
		}
		<-l.Done()
		if l.Err() != context.DeadlineExceeded {
			t.Errorf("error %v", l.Err())
		}
		l.release(nil)

		unseen := &lazyBound{parent: parent, deadline: time.Now().Add(time.Second), cmd: cmd, presence: &presence{}}
		unseen.release(nil)
		if unseen.Err() == nil {
			t.Error("a released bound is not done")
		}
	})
}
