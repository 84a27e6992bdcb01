package node

import (
	"sync"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
)

// A queue holds what the SDK has yet to read. It never blocks the putter, and
// is bounded by what is put: one request, one response to each server request, and
// progress, of which it takes no more when it is full.
type queue struct {
	wake chan struct{}
	mu   sync.Mutex // guards msgs
	msgs []jsonrpc.Message
}

// maxProgress is how full a queue may be that takes progress.
const maxProgress = 64

func (q *queue) init() { q.wake = make(chan struct{}, 1) }

func (q *queue) put(m jsonrpc.Message) {
	q.mu.Lock()
	q.msgs = append(q.msgs, m)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// offer is put for messages that may be dropped.
func (q *queue) offer(m jsonrpc.Message) {
	q.mu.Lock()
	full := len(q.msgs) >= maxProgress
	q.mu.Unlock()
	if !full {
		q.put(m)
	}
}

func (q *queue) take() jsonrpc.Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.msgs) == 0 {
		return nil
	}
	m := q.msgs[0]
	q.msgs = q.msgs[1:]
	return m
}
