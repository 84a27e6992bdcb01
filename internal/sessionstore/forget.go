package sessionstore

import (
	"sync"
	"sync/atomic"
	"time"
)

// maxForgotten bounds the ids that a store remembers, to about 2 MB.
const maxForgotten = 16 << 10

// forgotten remembers each id for a fixed time. With too many of them it
// remembers every id instead: slower for a while, never wrong.
type forgotten struct {
	keep  time.Duration
	start time.Time
	last  atomic.Int64 // end of the last id's time; spares Load the lock after it

	mu    sync.RWMutex
	until map[string]time.Duration // times are since start, so they only grow
	queue []forgottenID            // the oldest first
	all   time.Duration            // until when every id counts as remembered
}

type forgottenID struct {
	id    string
	until time.Duration
}

func newForgotten(keep time.Duration) *forgotten {
	return &forgotten{keep: keep, start: time.Now(), until: make(map[string]time.Duration)}
}

func (f *forgotten) add(id string) {
	now := time.Since(f.start)
	until := now + f.keep
	f.mu.Lock()
	defer f.mu.Unlock()
	f.expire(now)
	if len(f.queue) < maxForgotten {
		f.queue = append(f.queue, forgottenID{id, until})
		f.until[id] = until
	} else {
		f.all = until
	}
	f.last.Store(int64(until))
}

// expire drops what is over.
func (f *forgotten) expire(now time.Duration) {
	for len(f.queue) > 0 && f.queue[0].until <= now {
		if oldest := f.queue[0]; f.until[oldest.id] == oldest.until {
			delete(f.until, oldest.id)
		}
		f.queue = f.queue[1:]
	}
}

func (f *forgotten) has(id string) bool {
	last := f.last.Load()
	if last == 0 {
		return false
	}
	now := time.Since(f.start)
	if now >= time.Duration(last) {
		return false
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	return now < f.until[id] || now < f.all
}
