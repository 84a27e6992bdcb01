package session

import (
	"sync"
	"sync/atomic"
	"time"
)

// maxForgotten bounds the ids that a store remembers: about 2 MB.
const maxForgotten = 16 << 10

// forgotten remembers ids for a fixed time. With too many of them it remembers
// every id instead: that is slower for a while, never wrong.
type forgotten struct {
	keep  time.Duration
	count atomic.Int64 // of ids; spares Load the lock while there are none

	mu    sync.RWMutex
	until map[string]time.Time
	queue []string  // the ids of until, the oldest first
	all   time.Time // until when every id counts as remembered
}

func newForgotten(keep time.Duration) *forgotten {
	return &forgotten{keep: keep, until: make(map[string]time.Time)}
}

func (f *forgotten) add(id string) {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.expire(now)
	switch _, known := f.until[id]; {
	case known: // its older copies are as outdated as they were
	case len(f.queue) >= maxForgotten:
		f.all = now.Add(f.keep)
	default:
		f.queue = append(f.queue, id)
		f.until[id] = now.Add(f.keep)
	}
	f.count.Store(int64(len(f.queue)))
}

// expire drops ids whose time is over. All are kept equally long, so those are
// the oldest.
func (f *forgotten) expire(now time.Time) {
	for len(f.queue) > 0 && now.After(f.until[f.queue[0]]) {
		delete(f.until, f.queue[0])
		f.queue = f.queue[1:]
	}
}

func (f *forgotten) has(id string) bool {
	if f.count.Load() == 0 {
		return false
	}
	now := time.Now()
	f.mu.RLock()
	defer f.mu.RUnlock()
	until, known := f.until[id]
	return known && now.Before(until) || now.Before(f.all)
}
