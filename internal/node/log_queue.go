package node

import "github.com/mcpfleet/mcpfleet/internal/eventlog"

// A logQueue is what a reader has yet to send of its stream's log. Events come to
// it from their writers, in any order and more than once; it queues them in order
// and once, and knows when the log has to be read because some are missing.
type logQueue struct {
	maxEvents, maxBytes int

	events []eventlog.Event
	bytes  int                       // of the events' data
	next   int64                     // offset of the next event to queue; unattached before it is known
	behind bool                      // the log may have events that are not queued
	news   int                       // how often behind was set, so that who reads the log knows what it missed
	nonces *[rememberedNonces]string // of the last events queued, by offset; nil before the first: most standalone streams have none
	ended  bool                      // the event before next is the stream's last
}

// rememberedNonces is how far back a queue notices that an event is another one
// than it had under the same offset.
const rememberedNonces = 64

const unattached = -1

func newLogQueue(o Options) logQueue {
	return logQueue{maxEvents: o.MaxQueue, maxBytes: o.MaxQueueBytes, next: unattached}
}

// push queues the next event. What is not the next, or does not fit, is left in
// the log. It reports whether the log has lost an event that was queued.
func (q *logQueue) push(e eventlog.Event) (lost bool) {
	switch {
	case q.next != unattached && e.ID.Offset < q.next:
		return q.replaces(e.ID)
	case e.ID.Offset > q.next || q.next == unattached,
		len(q.events) >= q.maxEvents,
		len(q.events) > 0 && q.bytes+len(e.Data) > q.maxBytes:
		q.fallBehind()
	default:
		q.events = append(q.events, e)
		q.bytes += len(e.Data)
		if q.nonces == nil {
			q.nonces = new([rememberedNonces]string)
		}
		q.nonces[q.next%rememberedNonces] = e.ID.Nonce
		q.next++
	}
	return false
}

// replaces reports whether an event has taken the offset of another one that has
// been queued: Redis has lost the end of the log in a failover. Otherwise it is
// the same event, come twice.
func (q *logQueue) replaces(id eventlog.ID) bool {
	if id.Offset < q.next-rememberedNonces || q.nonces == nil {
		return false
	}
	queued := q.nonces[id.Offset%rememberedNonces]
	return queued != "" && queued != id.Nonce
}

// fallBehind notes that the log has to be read.
func (q *logQueue) fallBehind() {
	q.behind = true
	q.news++
}

// end takes the news that the stream has ended with an event, or before it if the
// event has no nonce.
func (q *logQueue) end(last eventlog.ID) {
	if q.behind || q.next == unattached || last.Nonce == "" && last.Offset > q.next {
		q.fallBehind() // the log says where the end is
		return
	}
	q.ended = true
}

// add takes what was read of the log: events, where the log ends, and whether the
// stream has ended. What happened since news may have been missed. It reports
// whether the log has lost an event that was queued.
func (q *logQueue) add(events []eventlog.Event, next int64, ended bool, news int) (lost bool) {
	for _, e := range events {
		lost = q.push(e) || lost
	}
	q.behind = next > q.next || q.news != news
	q.ended = q.ended || ended && !q.behind
	return lost
}

// take returns the queued events, which then are no longer queued.
func (q *logQueue) take() []eventlog.Event {
	events := q.events
	q.events, q.bytes = nil, 0
	return events
}
