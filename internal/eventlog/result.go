package eventlog

import (
	"errors"
	"fmt"

	"github.com/redis/rueidis"
)

// A result reads the elements that a script returned, in their order, and keeps
// the first error.
type result struct {
	rest []rueidis.RedisMessage
	err  error
}

func newResult(msg rueidis.RedisMessage) *result {
	all, err := msg.ToArray()
	return &result{all, err}
}

func (r *result) next() (msg rueidis.RedisMessage, ok bool) {
	if len(r.rest) == 0 {
		if r.err == nil {
			r.err = errors.New("short result of a stream script")
		}
		return msg, false
	}
	msg, r.rest = r.rest[0], r.rest[1:]
	return msg, true
}

func (r *result) text() string {
	msg, ok := r.next()
	if !ok {
		return ""
	}
	s, err := msg.ToString()
	if err != nil && r.err == nil {
		r.err = err
	}
	return s
}

func (r *result) number() int64 {
	msg, ok := r.next()
	if !ok {
		return 0
	}
	n, err := msg.AsInt64()
	if err != nil && r.err == nil {
		r.err = err
	}
	return n
}

// events reads all that is left as log entries, the first at offset from.
func (r *result) events(stream string, from int64) []Event {
	events := make([]Event, 0, len(r.rest))
	for offset := from; len(r.rest) > 0; offset++ {
		entry := r.text()
		if len(entry) < nonceLength {
			r.err = fmt.Errorf("log entry %d of stream %s has no nonce", offset, stream)
			return nil
		}
		events = append(events, Event{ID{Stream: stream, Offset: offset, Nonce: entry[:nonceLength]}, []byte(entry[nonceLength:])})
	}
	return events
}
