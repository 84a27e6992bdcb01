package pace

import (
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A socket is a ResponseWriter with a send buffer, from which a client reads at a
// rate. As in Linux, who writes goes on when a third of the buffer is free.
type socket struct {
	http.ResponseWriter
	buffer, rate int // bytes, bytes a second
	queued       float64
	at           time.Time // when queued was right

	mu       sync.Mutex // guards deadline
	deadline time.Time
}

var errDeadline = errors.New("the deadline has passed")

func (s *socket) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deadline = t
	return nil
}

func (s *socket) until() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.deadline
}

func (s *socket) FlushError() error { return nil }

func (s *socket) drain() {
	now := time.Now()
	s.queued = max(0, s.queued-now.Sub(s.at).Seconds()*float64(s.rate))
	s.at = now
}

func (s *socket) Write(p []byte) (int, error) {
	for sent := 0; ; {
		s.drain()
		n := min(len(p)-sent, s.buffer-int(s.queued))
		s.queued += float64(n)
		if sent += n; sent == len(p) {
			return sent, nil
		}
		wait := time.Duration((s.queued - float64(s.buffer)*2/3) / float64(s.rate) * float64(time.Second))
		if left := time.Until(s.until()); !s.until().IsZero() && wait > left {
			time.Sleep(left)
			return sent, errDeadline
		}
		time.Sleep(wait)
	}
}

func TestWhatIsInSocketBuffersCountsAsProgress(t *testing.T) {
	t.Parallel()
	limits := Limits{Timeout: 10 * time.Second, MinRate: 64 << 10}
	for name, test := range map[string]struct {
		buffer, rate int
		arrives      bool
	}{
		"as fast as it must be":        {64 << 10, 64 << 10, true},
		"in large steps":               {5 << 20, 66 << 10, true},
		"too slow":                     {64 << 10, 50 << 10, false},
		"too slow with a buffer":       {4 << 20, 30 << 10, false},
		"so slow that it is no longer": {1 << 20, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &socket{buffer: test.buffer, rate: test.rate, at: time.Now()}
				w := NewWriter(s, limits)
				var err error
				for range 3 { // what is left of one message holds up the next one
					if err == nil {
						_, err = w.Write(make([]byte, 14<<20))
					}
				}
				if err == nil {
					err = w.Flush()
				}
				if (err == nil) != test.arrives {
					t.Errorf("%v after %v", err, time.Since(s.at))
				}
				if err == nil && !s.until().IsZero() {
					t.Error("a deadline is left")
				}
			})
		})
	}
}

func TestWithoutARateAMessageHasTheTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		w := NewWriter(&socket{buffer: 64 << 10, rate: 1 << 20, at: begun}, Limits{Timeout: 10 * time.Second})
		if _, err := w.Write(make([]byte, 14<<20)); !errors.Is(err, errDeadline) || time.Since(begun) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}

func TestHurryBoundsWhatIsBeingWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &socket{buffer: 64 << 10, rate: 100 << 10, at: time.Now()}
		w := NewWriter(s, Limits{Timeout: 10 * time.Second, MinRate: 64 << 10})
		time.AfterFunc(5*time.Second, w.Hurry)
		begun := time.Now()
		if _, err := w.Write(make([]byte, 14<<20)); !errors.Is(err, errDeadline) || time.Since(begun) > 15*time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}
