package main

import (
	"context"
	"errors"
	"strconv"
)

// breakAfter is the progress after which [resume] breaks its streams.
const breakAfter = 3

// resume shows what becomes of a call when connections and instances die. It
// calls a tool that takes some time and reports its progress each second. After
// the third report it breaks its own connections. The SDK's client then asks for
// the rest of the stream, by the id of the last event that it has; any instance
// can answer, so no report is lost.
//
// Behind a balancer over several instances, kill any of them meanwhile. If it
// held the stream, the client goes on at another. If it ran the call, the call
// ends with an error within 15 seconds. Either way the session lives, as the call
// of echo at the end shows.
func resume(ctx context.Context, c *client, args []string) error {
	seconds := 20
	if len(args) > 0 {
		var err error
		if seconds, err = strconv.Atoi(args[0]); err != nil || seconds < 1 || len(args) > 1 {
			return errUsage
		}
	}
	if c.settings.protocol != sessions {
		return errors.New("only streams of sessions can be resumed: use -protocol=" + string(sessions))
	}
	c.onProgress = func(progress float64) {
		if progress == breakAfter {
			c.terminal.printf("breaking the connections")
			c.link.breakStreams()
		}
	}
	cs, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer cs.close()
	err = c.callTool(ctx, cs, "longRunningOperation", map[string]any{"duration": seconds, "steps": seconds})
	if err != nil {
		c.terminal.printf("the call is lost: %v", err)
	}
	return errors.Join(err, c.callTool(ctx, cs, "echo", map[string]any{"message": "the session lives"}))
}
