package node

import (
	"context"
	_ "embed"
	"strconv"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// What an instance must not miss waits for it in a second stream beside its inbox,
// the responses: what clients respond to its server requests. The inbox shows that
// the instance lives, so it is gone six seconds after the instance has stopped or has
// lost its way to Redis; the responses stay for as long as any server request may
// wait, and the instance finds them when it is back.

var (
	//go:embed lua/response_send.lua
	responseSendLua string

	responseSend = redisx.NewScript("send a response", responseSendLua)
)

// Bounds of what waits for an instance. What has no place is refused.
const (
	maxResponses     = 10_000
	maxResponseBytes = 64 << 20
)

// maxAnswers bounds, in bytes, the answers that are kept of a call so that it can be run
// again.
const maxAnswers = 16 << 20

// responsesMargin is how much longer the responses live than a server request
// waits.
const responsesMargin = time.Minute

// A fate is what has become of a message.
type fate string

const (
	fateAlive fate = "alive" // its instance lives, and reads it now
	fateAway  fate = "away"  // its instance reads it when it is back, if it ever is
	fateGone  fate = "gone"  // its instance has left for good, or will find that it has lost everything
	fateFull  fate = "full"  // refused
)

// sendToKeep sends a message that an instance must get even if it is stopped or cut
// off at the moment. Like a message of [link.send] it may arrive more than once. It
// fails with [redisx.ErrUnavailable] if Redis does not take it, or has too many of them.
func (l link) sendToKeep(ctx context.Context, instance string, m inboxMessage) (fate, error) {
	fields := m.encode()
	size := 0
	for _, f := range fields {
		size += len(f)
	}
	args := append([]string{strconv.Itoa(maxResponses), strconv.Itoa(maxResponseBytes), strconv.Itoa(size)}, fields...)
	var got fate
	err := l.rdb.RetryWrite(func(rdb redisx.Client) error {
		msg, err := responseSend.Exec(ctx, rdb, []string{l.keys.Responses(instance), l.keys.Inbox(instance)}, args...)
		if err == nil {
			var text string
			text, err = msg.ToString()
			got = fate(text)
		}
		return err
	})
	if err == nil && got == fateFull {
		err = redisx.Unavailable("send a response", errResponsesFull)
	}
	return got, err
}

// failServerRequests fails the server requests that are open here: the responses to
// them may be lost.
func (n *Node) failServerRequests() {
	for _, c := range n.allConns() {
		for _, number := range c.openServerRequests() {
			c.fail(number, errResponseLost)
		}
	}
}
